//! The collection that tests of durability write to: plane points, found by their distance.

use vectors::Vector;
use vectors::schema::{CollectionSchema, Datatype, IndexKind, Metric, VectorSchema};

/// One vector of two values per point; segments get an index from `index_from_rows` rows on.
pub fn schema(index_from_rows: u32) -> CollectionSchema {
    CollectionSchema {
        vectors: [(
            String::new(),
            VectorSchema::Dense {
                dimensions: 2,
                metric: Metric::Euclid,
                datatype: Datatype::Float32,
                multi: false,
                index: IndexKind::Auto,
                hnsw: Default::default(),
                quantization: Default::default(),
                on_disk: false,
            },
        )]
        .into(),
        index_from_rows: Some(index_from_rows),
        ..CollectionSchema::default()
    }
}

/// The vector of a point.
pub fn vector(id: u64) -> Vector {
    Vector::Dense(vec![id as f32, 1.0])
}
