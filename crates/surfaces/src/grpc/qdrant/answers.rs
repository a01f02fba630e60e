//! Points, groups and outcomes of writes for clients.

use std::collections::HashMap;

use service::collections::query::GroupKey;
use service::collections::{
    FacetHit, InferenceUsage, PointGroup, PointId, QueriedPoint, StoredPoint, WriteOutcome,
};

use super::ids::wire_id;
use super::values::fields;
use super::vectors::wire_vectors;
use crate::grpc::protocol::qdrant as wire;
use crate::qdrant::point_of_group;

/// A point that was asked for; `order_value` is what it was ordered by.
pub fn retrieved(point: StoredPoint, order_value: Option<f64>) -> wire::RetrievedPoint {
    wire::RetrievedPoint {
        id: Some(wire_id(point.id)),
        payload: fields(point.payload.unwrap_or_default()),
        vectors: wire_vectors(point.vectors),
        shard_key: None,
        order_value: order_value.map(order),
    }
}

/// Whole values are written as whole numbers: dates are, and integers.
fn order(value: f64) -> wire::OrderValue {
    use wire::order_value::Variant;
    // 2^63; every whole float below it is an i64.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    let variant = if value.fract() == 0.0 && value.abs() < BEYOND {
        Variant::Int(value as i64)
    } else {
        Variant::Float(value)
    };
    wire::OrderValue {
        variant: Some(variant),
    }
}

/// Points that were found, best first.
pub fn found(points: Vec<QueriedPoint>) -> Vec<wire::ScoredPoint> {
    points.into_iter().map(scored).collect()
}

fn scored(found: QueriedPoint) -> wire::ScoredPoint {
    wire::ScoredPoint {
        id: Some(wire_id(found.point.id)),
        payload: fields(found.point.payload.unwrap_or_default()),
        score: found.score,
        version: found.point.version,
        vectors: wire_vectors(found.point.vectors),
        shard_key: None,
        order_value: None,
    }
}

/// Groups, best first, each with the point that describes it.
pub fn grouped(
    groups: Vec<PointGroup>,
    mut described: HashMap<PointId, StoredPoint>,
) -> wire::GroupsResult {
    use wire::group_id::Kind;
    let group = |group: PointGroup| wire::PointGroup {
        lookup: point_of_group(&group.key)
            .and_then(|id| described.remove(&id))
            .map(|point| retrieved(point, None)),
        id: Some(wire::GroupId {
            kind: Some(match group.key {
                GroupKey::Text(text) => Kind::StringValue(text),
                GroupKey::Integer(integer) => Kind::IntegerValue(integer),
                GroupKey::Unsigned(number) => Kind::UnsignedValue(number),
            }),
        }),
        hits: found(group.points),
    };
    wire::GroupsResult {
        groups: groups.into_iter().map(group).collect(),
    }
}

/// What became of a write whose caller did or did not wait for it.
pub fn outcome(outcome: WriteOutcome, waited: bool) -> wire::UpdateResult {
    done(Some(outcome.sequence), waited)
}

/// The same for a change that has no number.
pub fn done(operation_id: Option<u64>, waited: bool) -> wire::UpdateResult {
    let status = if waited {
        wire::UpdateStatus::Completed
    } else {
        wire::UpdateStatus::Acknowledged
    };
    wire::UpdateResult {
        operation_id,
        status: status.into(),
    }
}

/// A value and how many points have it; `None` for values that this wire has no facet of.
pub fn facet(hit: FacetHit) -> Option<wire::FacetHit> {
    use wire::facet_value::Variant;
    let variant = match hit.value {
        serde_json::Value::String(text) => Variant::StringValue(text),
        serde_json::Value::Bool(truth) => Variant::BoolValue(truth),
        serde_json::Value::Number(number) => Variant::IntegerValue(number.as_i64()?),
        _ => return None,
    };
    Some(wire::FacetHit {
        value: Some(wire::FacetValue {
            variant: Some(variant),
        }),
        count: hit.count,
    })
}

/// What models read for a request; `None` when none was asked.
pub fn usage(usage: InferenceUsage) -> Option<wire::Usage> {
    if usage.models.is_empty() {
        return None;
    }
    let models = usage.models.into_iter();
    Some(wire::Usage {
        hardware: None,
        inference: Some(wire::InferenceUsage {
            models: models
                .map(|(model, tokens)| (model, wire::ModelUsage { tokens }))
                .collect(),
        }),
    })
}
