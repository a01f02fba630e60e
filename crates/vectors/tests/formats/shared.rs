//! The collection whose files are kept: every kind of file and of vector, small.

use serde_json::json;
use vectors::payload::PayloadIndexKind;
use vectors::schema::{
    CollectionSchema, Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema,
};
use vectors::{Point, PointId, SparseVector, Vector};

/// Name of the collection.
pub const NAME: &str = "kept";
/// Points written before the last seal; a few more are in the log only.
pub const SEALED: u64 = 48;
/// Points that were deleted: before the last switch of the manifest, and after it.
pub const DELETED: [u64; 3] = [5, 20, 33];
/// All points that were ever written.
pub const WRITTEN: u64 = SEALED + 4;
const DIMENSIONS: u32 = 16;

pub fn schema() -> CollectionSchema {
    let dense = |index, quantization, datatype, multi| VectorSchema::Dense {
        dimensions: DIMENSIONS,
        metric: Metric::Euclid,
        datatype,
        multi,
        index,
        hnsw: HnswParameters {
            m: 4,
            ef_construct: 16,
        },
        quantization,
        on_disk: false,
    };
    let product = Quantization::Product {
        dimensions_per_code: 4,
    };
    let graph = |quantization| dense(IndexKind::Hnsw, quantization, Datatype::Float32, false);
    let flat = |datatype, multi| dense(IndexKind::Flat, Quantization::None, datatype, multi);
    let vectors = [
        ("originals", graph(Quantization::None)),
        ("bytes", graph(Quantization::Int8)),
        ("nibbles", graph(Quantization::Int4)),
        ("bits", graph(Quantization::Binary)),
        ("products", graph(product)),
        (
            "lists",
            dense(IndexKind::Ivf, Quantization::Auto, Datatype::Float32, false),
        ),
        ("half", flat(Datatype::Float16, false)),
        ("small", flat(Datatype::Uint8, false)),
        ("tokens", flat(Datatype::Float32, true)),
        ("words", VectorSchema::Sparse { idf: false }),
    ];
    CollectionSchema {
        vectors: vectors
            .map(|(name, schema)| (name.to_owned(), schema))
            .into(),
        index_from_rows: Some(10),
        ..CollectionSchema::default()
    }
}

/// Name of the collection of multi-vectors whose single vectors have an index.
pub const TOKENS: &str = "tokens";
/// Points in it.
pub const TOKEN_POINTS: u64 = 120;

pub fn token_schema() -> CollectionSchema {
    let mut vectors = schema().vectors;
    vectors.retain(|name, _| name == "bytes");
    for vector in vectors.values_mut() {
        if let VectorSchema::Dense { multi, .. } = vector {
            *multi = true;
        }
    }
    CollectionSchema {
        vectors,
        index_from_rows: Some(10),
        ..CollectionSchema::default()
    }
}

/// One to three vectors.
pub fn token_point(number: u64) -> Point {
    let tokens = (0..1 + number % 3).map(|place| values(number + place * 1_000));
    Point {
        id: id(number),
        vectors: [("bytes".to_owned(), Vector::Multi(tokens.collect()))].into(),
        payload: serde_json::Map::new(),
        expires_unix_ms: None,
    }
}

pub fn payload_indexes() -> Vec<(&'static str, PayloadIndexKind)> {
    vec![
        ("color", PayloadIndexKind::Keyword),
        ("number", PayloadIndexKind::Integer),
        ("share", PayloadIndexKind::Float),
        ("even", PayloadIndexKind::Bool),
        ("time", PayloadIndexKind::Datetime),
        ("place", PayloadIndexKind::Geo),
        (
            "title",
            PayloadIndexKind::Text {
                analyzer: None,
                scoring: Some(Default::default()),
            },
        ),
    ]
}

/// Whole numbers from 0 to 63, which every datatype holds.
fn values(seed: u64) -> Vec<f32> {
    (0..u64::from(DIMENSIONS))
        .map(|place| {
            let mixed = (seed * 64 + place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 31)) >> 20 & 63) as f32
        })
        .collect()
}

/// Every fifth id is a UUID.
pub fn id(number: u64) -> PointId {
    if number % 5 == 4 {
        PointId::Uuid(0x1234_5678_9abc_4def_8000_0000_0000_0000 | u128::from(number))
    } else {
        PointId::Number(number)
    }
}

pub fn point(number: u64) -> Point {
    let mut vectors: std::collections::BTreeMap<String, Vector> = schema()
        .vectors
        .keys()
        .map(|name| (name.clone(), Vector::Dense(values(number))))
        .collect();
    let tokens = vec![values(number), values(number + 1_000)];
    vectors.insert("tokens".into(), Vector::Multi(tokens));
    let words = SparseVector {
        indices: vec![number as u32 % 7, 7 + number as u32 % 11, 100],
        values: vec![1.0, 2.5, number as f32 + 0.5],
    };
    vectors.insert("words".into(), Vector::Sparse(words));
    if number.is_multiple_of(6) {
        vectors.remove("half");
    }
    let payload = json!({
        "color": (["red", "green", "blue"][number as usize % 3]),
        "number": number,
        "share": number as f64 / 8.0,
        "even": number.is_multiple_of(2),
        "time": format!("2026-11-{:02}T12:00:00Z", 1 + number % 28),
        "place": {"lat": number as f64, "lon": -(number as f64)},
        "title": format!("Point number {} of the kept ones", number % 9),
    });
    Point {
        id: id(number),
        vectors,
        payload: payload.as_object().expect("object").clone(),
        // In the year 2100.
        expires_unix_ms: (number % 10 == 1).then_some(4_102_444_800_000),
    }
}
