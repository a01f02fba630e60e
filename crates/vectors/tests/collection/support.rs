//! Schemas, points and naive readers that the tests share.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use vectors::collection::{
    Collection, CollectionOptions, ScrollRequest, SearchRequest, Selection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::schema::{CollectionSchema, Datatype, Metric, VectorSchema};
use vectors::{Payload, Point, PointId, Vector};

pub(crate) fn dense(dimensions: u32, metric: Metric) -> VectorSchema {
    VectorSchema::Dense {
        dimensions,
        metric,
        datatype: Datatype::Float32,
        multi: false,
        index: Default::default(),
        hnsw: Default::default(),
        quantization: Default::default(),
        on_disk: false,
    }
}

pub(crate) fn plain_schema(dimensions: u32, metric: Metric) -> CollectionSchema {
    CollectionSchema {
        vectors: [(String::new(), dense(dimensions, metric))].into(),
        ..CollectionSchema::default()
    }
}

/// Dense, half-precision, bytes, multi and sparse vectors side by side.
pub(crate) fn rich_schema() -> CollectionSchema {
    let typed = |metric, datatype, multi| VectorSchema::Dense {
        dimensions: 2,
        metric,
        datatype,
        multi,
        index: Default::default(),
        hnsw: Default::default(),
        quantization: Default::default(),
        on_disk: false,
    };
    CollectionSchema {
        vectors: [
            (String::new(), typed(Metric::Dot, Datatype::Float32, false)),
            (
                "bytes".into(),
                typed(Metric::Euclid, Datatype::Uint8, false),
            ),
            (
                "half".into(),
                typed(Metric::Manhattan, Datatype::Float16, false),
            ),
            ("tokens".into(), typed(Metric::Dot, Datatype::Float32, true)),
            ("words".into(), VectorSchema::Sparse { idf: false }),
            ("rare".into(), VectorSchema::Sparse { idf: true }),
        ]
        .into(),
        ..CollectionSchema::default()
    }
}

/// Small segments, so that a few points go through everything; no threads, so that runs repeat.
pub(crate) fn options(growing_rows_max: u32) -> DatabaseOptions {
    DatabaseOptions {
        maintenance_threads: 0,
        collection: CollectionOptions {
            growing_rows_max,
            ..CollectionOptions::default()
        },
        ..DatabaseOptions::default()
    }
}

pub(crate) fn open(directory: &Path, growing_rows_max: u32) -> Database {
    Database::open(directory, options(growing_rows_max)).expect("database")
}

pub(crate) fn payload(value: Value) -> Payload {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

pub(crate) fn point(id: u64, values: &[f32], value: Value) -> Point {
    Point {
        id: PointId::Number(id),
        vectors: [(String::new(), Vector::Dense(values.to_vec()))].into(),
        payload: payload(value),
        expires_unix_ms: None,
    }
}

pub(crate) fn durable() -> WriteOptions {
    WriteOptions::durable()
}

pub(crate) fn ids(numbers: &[u64]) -> Selection {
    Selection::Ids(numbers.iter().copied().map(PointId::Number).collect())
}

pub(crate) fn path(text: &str) -> FieldPath {
    text.parse().expect("path")
}

pub(crate) fn equals(key: &str, text: &str) -> Filter {
    Filter {
        must: vec![Condition::field(
            path(key),
            FieldTest::Equal(Scalar::Text(text.to_owned())),
        )],
        ..Filter::default()
    }
}

/// Every point by id, as JSON.
pub(crate) fn everything(
    collection: &Collection,
) -> BTreeMap<PointId, (BTreeMap<String, Vector>, Value)> {
    let mut all = BTreeMap::new();
    let mut offset = None;
    loop {
        let page = collection
            .scroll(&ScrollRequest {
                offset,
                limit: 7,
                with: With::everything(),
                ..ScrollRequest::default()
            })
            .expect("page");
        for point in page.points {
            let value = Value::Object(point.payload.expect("asked for"));
            let known = all.insert(point.id, (point.vectors, value));
            assert!(known.is_none(), "{} came twice", point.id);
        }
        offset = page.next;
        if offset.is_none() {
            return all;
        }
    }
}

pub(crate) fn found(collection: &Collection, request: &SearchRequest) -> Vec<(u64, f32)> {
    collection
        .search(request)
        .expect("search")
        .into_iter()
        .map(|one| match one.point.id {
            PointId::Number(number) => (number, one.score),
            PointId::Uuid(_) => panic!("no UUIDs here"),
        })
        .collect()
}

/// A repeatable number from 0 to 1.
pub(crate) fn noise(seed: u64) -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    state ^= state >> 29;
    state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((state >> 40) as f32) / ((1u64 << 24) as f32)
}

pub(crate) fn noise_vector(seed: u64, dimensions: u64) -> Vec<f32> {
    (0..dimensions)
        .map(|at| noise(seed * 1_000 + at) - 0.5)
        .collect()
}
