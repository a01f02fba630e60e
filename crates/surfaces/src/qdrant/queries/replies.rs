//! What queries answer.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use service::collections::query::GroupKey;
use service::collections::{
    InferenceUsage, Matrix, Payload, PointGroup, PointId, QueriedPoint, StoredPoint,
    VectorSelection, With,
};

use super::super::envelope::Usage;
use super::super::ids::WireId;
use super::super::vectors::ShownVectors;

/// A point that was found.
#[derive(Serialize)]
pub struct ScoredPoint {
    id: WireId,
    version: u64,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<ShownVectors>,
}

/// `{"points": […]}`
#[derive(Serialize)]
pub struct Points {
    points: Vec<ScoredPoint>,
}

/// A stored point.
#[derive(Serialize)]
struct Record {
    id: WireId,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<ShownVectors>,
}

/// Points that share a value.
#[derive(Serialize)]
pub struct Group {
    hits: Vec<ScoredPoint>,
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup: Option<Record>,
}

/// `{"groups": […]}`
#[derive(Serialize)]
pub struct Groups {
    groups: Vec<Group>,
}

/// The points of a query, best first.
pub fn points(found: Vec<QueriedPoint>, with: &With) -> Points {
    Points {
        points: scored(found, with),
    }
}

fn scored(found: Vec<QueriedPoint>, with: &With) -> Vec<ScoredPoint> {
    found
        .into_iter()
        .map(|QueriedPoint { point, score }| ScoredPoint {
            id: WireId(point.id),
            version: point.version,
            score,
            payload: point.payload,
            vector: shown(point.vectors, with),
        })
        .collect()
}

fn shown(
    vectors: BTreeMap<String, service::collections::Vector>,
    with: &With,
) -> Option<ShownVectors> {
    (with.vectors != VectorSelection::None).then_some(ShownVectors(vectors))
}

/// The groups of a query, best first, each with its point of another collection where there is one.
pub fn groups(
    found: Vec<PointGroup>,
    with: &With,
    mut looked_up: HashMap<PointId, StoredPoint>,
    lookup_with: &With,
) -> Groups {
    let groups = found
        .into_iter()
        .map(|group| {
            let lookup = point_of_group(&group.key).and_then(|id| looked_up.remove(&id));
            Group {
                hits: scored(group.points, with),
                id: match group.key {
                    GroupKey::Text(text) => Value::String(text),
                    GroupKey::Integer(number) => Value::from(number),
                    GroupKey::Unsigned(number) => Value::from(number),
                },
                lookup: lookup.map(|point| Record {
                    id: WireId(point.id),
                    payload: point.payload,
                    vector: shown(point.vectors, lookup_with),
                }),
            }
        })
        .collect();
    Groups { groups }
}

/// The id that a group's value is, when it can be one.
pub fn point_of_group(key: &GroupKey) -> Option<PointId> {
    match key {
        GroupKey::Text(text) => WireId::parse(text).map(|id| id.0),
        GroupKey::Integer(number) => u64::try_from(*number).ok().map(PointId::Number),
        GroupKey::Unsigned(number) => Some(PointId::Number(*number)),
    }
}

/// `{"pairs": [{"a", "b", "score"}]}`
pub fn matrix_pairs(matrix: &Matrix) -> Value {
    let mut pairs = Vec::new();
    for (id, neighbours) in matrix.ids.iter().zip(&matrix.neighbours) {
        for (place, score) in neighbours {
            if let Some(other) = matrix.ids.get(*place) {
                pairs.push(json!({"a": WireId(*id), "b": WireId(*other), "score": score}));
            }
        }
    }
    json!({ "pairs": pairs })
}

/// `{"offsets_row", "offsets_col", "scores", "ids"}`
pub fn matrix_offsets(matrix: &Matrix) -> Value {
    let (mut rows, mut columns, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for (row, neighbours) in matrix.neighbours.iter().enumerate() {
        for (column, score) in neighbours {
            rows.push(row);
            columns.push(*column);
            scores.push(*score);
        }
    }
    let ids: Vec<WireId> = matrix.ids.iter().copied().map(WireId).collect();
    json!({"offsets_row": rows, "offsets_col": columns, "scores": scores, "ids": ids})
}

/// What models read, when they read anything.
pub fn usage(read: &InferenceUsage) -> Option<Usage> {
    if read.models.is_empty() {
        return None;
    }
    let models: BTreeMap<&str, Value> = read
        .models
        .iter()
        .map(|(model, tokens)| (model.as_str(), json!({ "tokens": tokens })))
        .collect();
    Some(Usage {
        inference: Some(json!({ "models": models })),
    })
}
