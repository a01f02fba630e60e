//! Several vectors per point, any of them absent: rows without a vector are in no index of it and in no result.

use std::collections::BTreeMap;

use serde_json::json;
use vectors::collection::{Collection, SearchRequest, With};
use vectors::schema::{IndexKind, Metric, VectorSchema};
use vectors::{Point, PointId, Vector};

use crate::support::*;

const NAMES: [(&str, Metric); 3] = [
    ("image", Metric::Euclid),
    ("text", Metric::Cosine),
    ("title", Metric::Dot),
];

fn row(id: u64, round: u64) -> Point {
    let vectors = NAMES
        .iter()
        .enumerate()
        .filter(|(at, (name, _))| match *name {
            // One point in forty has it, and none in some segments.
            "title" => id % 40 == 7,
            _ => noise(id * 3 + *at as u64 + round) < 0.5,
        })
        .map(|(at, (name, _))| {
            let values = noise_vector(id * 10 + at as u64 + round * 7, 8);
            ((*name).to_owned(), Vector::Dense(values))
        })
        .collect();
    Point {
        id: PointId::Number(id),
        vectors,
        payload: payload(json!({"half": (id % 2).to_string()})),
        expires_unix_ms: None,
    }
}

fn dot(one: &[f32], two: &[f32]) -> f32 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

fn score(metric: Metric, one: &[f32], two: &[f32]) -> f32 {
    match metric {
        Metric::Euclid => one
            .iter()
            .zip(two)
            .map(|(one, two)| (one - two).powi(2))
            .sum::<f32>()
            .sqrt(),
        Metric::Cosine => dot(one, two) / (dot(one, one) * dot(two, two)).sqrt(),
        _ => dot(one, two),
    }
}

fn check(collection: &Collection, points: &BTreeMap<u64, Point>) {
    for (name, metric) in NAMES {
        for (seed, only_half) in [(90_001, false), (90_002, true), (90_003, false)] {
            let query = noise_vector(seed, 8);
            let mut wanted: Vec<(u64, f32)> = points
                .iter()
                .filter(|(id, _)| !only_half || *id % 2 == 1)
                .filter_map(|(&id, point)| match point.vectors.get(name)? {
                    Vector::Dense(values) => Some((id, score(metric, values, &query))),
                    _ => None,
                })
                .collect();
            wanted.sort_by(|one, two| match metric {
                Metric::Euclid => one.1.total_cmp(&two.1),
                _ => two.1.total_cmp(&one.1),
            });
            for limit in [5, 2_000] {
                let mut request = SearchRequest::new(name, Vector::Dense(query.clone()), limit);
                request.filter = only_half.then(|| equals("half", "1"));
                // A list as long as the segment: the graph is searched whole, so results are exact.
                request.parameters.ef = Some(2_000);
                let found = found(collection, &request);
                assert_eq!(found.len(), wanted.len().min(limit), "{name} {limit}");
                for ((id, score), (other, expected)) in found.iter().zip(&wanted) {
                    assert!((score - expected).abs() < 1e-4, "{name}: {id} {other}");
                }
            }
        }
    }
    for (id, point) in points {
        let got = collection
            .get(&[PointId::Number(*id)], &With::everything())
            .expect("get");
        let names: Vec<&String> = got[0].vectors.keys().collect();
        assert_eq!(names, point.vectors.keys().collect::<Vec<_>>());
        if let Some(image) = point.vectors.get("image") {
            assert_eq!(&got[0].vectors["image"], image);
        }
    }
}

#[test]
fn rows_without_a_vector_are_in_no_index_and_in_no_result() {
    let directory = tempfile::tempdir().expect("directory");
    let mut schema = plain_schema(8, Metric::Dot);
    schema.vectors.clear();
    schema.index_from_rows = Some(100);
    for (name, metric) in NAMES {
        let mut vector = dense(8, metric);
        if let VectorSchema::Dense { index, .. } = &mut vector {
            *index = IndexKind::Hnsw;
        }
        schema.vectors.insert(name.to_owned(), vector);
    }
    let database = open(directory.path(), 150);
    let collection = database.create_collection("c", schema).expect("new");
    let mut points = BTreeMap::new();
    let write = |points: &mut BTreeMap<u64, Point>, range: std::ops::Range<u64>, round| {
        for id in range {
            let point = row(id, round);
            collection
                .upsert(vec![point.clone()], &Default::default())
                .expect("written");
            points.insert(id, point);
        }
    };
    write(&mut points, 0..400, 0);
    check(&collection, &points);
    collection.optimize().expect("merged");
    check(&collection, &points);
    write(&mut points, 350..500, 1);
    for id in (0..500).step_by(13) {
        collection
            .delete(&[PointId::Number(id)], &Default::default())
            .expect("deleted");
        points.remove(&id);
    }
    check(&collection, &points);
    collection.optimize().expect("merged");
    check(&collection, &points);
    let indexed = collection.info().expect("info").segments[0].indexed.clone();
    assert_eq!(indexed, ["image", "text", "title"]);
    drop((collection, database));
    let database = open(directory.path(), 150);
    let collection = database.collection("c").expect("opens");
    check(&collection, &points);
    assert_eq!(
        collection.info().expect("info").damages,
        Vec::<String>::new()
    );
}
