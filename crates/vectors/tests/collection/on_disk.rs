//! Vectors that stay on disk: the same answers, and nothing of them stays in memory.

use serde_json::json;
use vectors::collection::{Collection, SearchRequest, WriteOptions};
use vectors::index::SearchParameters;
use vectors::schema::{
    CollectionSchema, Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema,
};
use vectors::{Point, Vector};

use crate::support::*;

const DIMENSIONS: u64 = 64;
const POINTS: u64 = 12_000;

fn schema(left_on_disk: bool, kind: Datatype, codes: Quantization) -> CollectionSchema {
    let vector = VectorSchema::Dense {
        dimensions: DIMENSIONS as u32,
        metric: Metric::Euclid,
        datatype: kind,
        multi: false,
        index: IndexKind::Auto,
        hnsw: HnswParameters {
            m: 8,
            ef_construct: 40,
        },
        quantization: codes,
        on_disk: left_on_disk,
    };
    CollectionSchema {
        vectors: [(String::new(), vector)].into(),
        ..CollectionSchema::default()
    }
}

/// Whole numbers, which every datatype holds.
fn values(id: u64) -> Vec<f32> {
    noise_vector(id, DIMENSIONS)
        .iter()
        .map(|value| ((value + 0.5) * 200.0).floor())
        .collect()
}

fn fill(collection: &Collection, count: u64) {
    let points: Vec<Point> = (0..count)
        .map(|id| point(id, &values(id), json!({})))
        .collect();
    collection
        .upsert(points, &WriteOptions::default())
        .expect("written");
    collection.optimize().expect("indexed");
}

fn request(seed: u64, exact: bool) -> SearchRequest {
    SearchRequest {
        parameters: SearchParameters {
            exact,
            ef: Some(80),
            ..SearchParameters::default()
        },
        ..SearchRequest::new("", Vector::Dense(values(seed + 1_000_000)), 10)
    }
}

#[test]
fn answers_are_the_same_wherever_vectors_are() {
    for (kind, codes) in [
        (Datatype::Float32, Quantization::Int8),
        (Datatype::Float16, Quantization::Int4),
        (Datatype::Uint8, Quantization::Int8),
        (Datatype::Float32, Quantization::None),
    ] {
        let directory = tempfile::tempdir().expect("directory");
        let database = open(directory.path(), 5_000);
        let [there, here] = [true, false].map(|on_disk| {
            let name = if on_disk { "disk" } else { "memory" };
            let collection = database
                .create_collection(name, schema(on_disk, kind, codes))
                .expect("new");
            fill(&collection, 2_500);
            collection
        });
        for exact in [false, true] {
            for seed in 0..20 {
                let asked = request(seed, exact);
                assert_eq!(found(&there, &asked), found(&here, &asked), "{kind:?}");
            }
        }
        assert_eq!(everything(&there), everything(&here));
        assert_eq!(there.verify().expect("read").len(), 0);
    }
}

/// Bytes of files of `directory` that are mapped and resident in this process.
#[cfg(target_os = "linux")]
fn resident_bytes(directory: &std::path::Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("maps");
    let (mut bytes, mut inside) = (0, false);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            inside = line.contains(directory.to_str().expect("path"));
        } else if inside && first == "Rss:" {
            let kibibytes: u64 = words
                .next()
                .and_then(|word| word.parse().ok())
                .expect("Rss");
            bytes += kibibytes * 1024;
        }
    }
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn searches_leave_no_vectors_in_memory() {
    let directory = tempfile::tempdir().expect("directory");
    let vectors = POINTS * DIMENSIONS * 4;
    let resident = |left_on_disk: bool| {
        let name = if left_on_disk { "disk" } else { "memory" };
        let database = open(directory.path(), 20_000);
        let schema = schema(left_on_disk, Datatype::Float32, Quantization::Int8);
        let collection = database.create_collection(name, schema).expect("new");
        fill(&collection, POINTS);
        for seed in 0..400 {
            assert_eq!(found(&collection, &request(seed, false)).len(), 10);
        }
        found(&collection, &request(0, true));
        resident_bytes(&directory.path().join("collections").join(name))
    };
    // The other tables of the rows, ids and versions, stay.
    let rows = POINTS * 40;
    let left = resident(true);
    assert!(left < rows, "{left} bytes of {vectors} are resident");
    let all = resident(false);
    assert!(all > vectors / 2, "the measure works: {all} of {vectors}");
}
