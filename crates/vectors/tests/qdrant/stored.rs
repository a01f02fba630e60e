//! The points of the cases in real collections, in segments of several shapes.

use std::path::Path;

use serde_json::{Value, json};
use vectors::collection::{Collection, CollectionOptions, WriteOptions};
use vectors::database::{Database, DatabaseOptions};
use vectors::payload::PayloadIndexKind;
use vectors::text::Bm25;
use vectors::{CollectionSchema, Metric, Payload, Point, PointId, Vector};

/// How the points lie in segments.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// In one growing segment.
    Growing,
    /// In one sealed segment.
    Sealed,
    /// In many small segments, with dead rows in each: of older versions and of deleted points.
    Mixed,
}

/// A database with the points in the collection `points`.
pub fn database(directory: &Path, shape: Shape, metric: Metric, points: &[Value]) -> Database {
    let database = Database::open(
        directory,
        DatabaseOptions {
            maintenance_threads: 0,
            collection: CollectionOptions {
                growing_rows_max: match shape {
                    Shape::Mixed => 9,
                    Shape::Growing | Shape::Sealed => 10_000,
                },
                ..CollectionOptions::default()
            },
            ..DatabaseOptions::default()
        },
    )
    .expect("database");
    let schema: CollectionSchema = serde_json::from_value(json!({"vectors": {
        "": {"kind": "dense", "dimensions": 6, "metric": metric},
        "multi": {"kind": "dense", "dimensions": 6, "metric": metric, "multi": true},
        "sparse": {"kind": "sparse"},
        "rare": {"kind": "sparse", "idf": true},
    }}))
    .expect("schema");
    let collection = database
        .create_collection("points", schema)
        .expect("collection");
    let words = PayloadIndexKind::Text {
        analyzer: None,
        scoring: Some(Bm25::default()),
    };
    let field = "text".parse().expect("path");
    // Of the sealed one the index is made when the segment is there already.
    if !matches!(shape, Shape::Sealed) {
        collection
            .create_payload_index(&field, words.clone())
            .expect("index");
    }
    fill(&collection, shape, points);
    if matches!(shape, Shape::Sealed) {
        collection
            .create_payload_index(&field, words)
            .expect("index");
    }
    database
}

fn fill(collection: &Collection, shape: Shape, points: &[Value]) {
    let write = WriteOptions::durable();
    let points: Vec<Point> = points.iter().map(stored).collect();
    if matches!(shape, Shape::Mixed) {
        // What stands here before must not show anywhere: other vectors and texts under the same ids, and further ids.
        let count = points.len();
        let mut former: Vec<Point> = points.clone();
        for (place, point) in former.iter_mut().enumerate() {
            point.vectors = points[(place * 7 + 3) % count].vectors.clone();
            point.payload = points[(place * 11 + 5) % count].payload.clone();
        }
        let further = points.iter().map(|point| Point {
            id: PointId::Number(1_000 + number(point.id)),
            ..point.clone()
        });
        former.extend(further);
        for batch in former.chunks(5) {
            collection.upsert(batch.to_vec(), &write).expect("former");
        }
        let gone: Vec<PointId> = points
            .iter()
            .map(|point| PointId::Number(1_000 + number(point.id)))
            .collect();
        collection.delete(&gone, &write).expect("delete");
    }
    for batch in points.chunks(3) {
        collection.upsert(batch.to_vec(), &write).expect("upsert");
    }
    if matches!(shape, Shape::Sealed) {
        collection.optimize().expect("sealed");
    }
}

fn number(id: PointId) -> u64 {
    match id {
        PointId::Number(number) => number,
        PointId::Uuid(_) => panic!("no UUIDs here"),
    }
}

fn stored(point: &Value) -> Point {
    let object = |value: &Value| -> Payload { value.as_object().expect("object").clone() };
    Point {
        id: PointId::Number(point["id"].as_u64().expect("id")),
        vectors: object(&point["vector"])
            .iter()
            .map(|(name, value)| -> (String, Vector) {
                (name.clone(), super::convert::vector(value))
            })
            .collect(),
        payload: object(&point["payload"]),
        expires_unix_ms: None,
    }
}
