//! Points and outcomes as clients see them.

use serde::Serialize;
use serde_json::Value;
use service::collections::{
    Payload, StoredPoint, VectorSelection, With, WriteOptions, WriteOutcome,
};

use super::super::ids::WireId;
use super::super::vectors::ShownVectors;

/// What a write did.
#[derive(Debug, Serialize)]
pub struct Updated {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<u64>,
    status: &'static str,
}

impl Updated {
    /// Something that is on disk, and has no number.
    pub fn done() -> Self {
        Updated {
            operation_id: None,
            status: "completed",
        }
    }

    /// A write done with `options`.
    pub fn by(outcome: WriteOutcome, options: &WriteOptions) -> Self {
        Updated {
            operation_id: Some(outcome.sequence),
            // Visible in either case; on disk for sure when it was waited for.
            status: if options.wait {
                "completed"
            } else {
                "acknowledged"
            },
        }
    }
}

/// A stored point.
#[derive(Debug, Serialize)]
pub struct Record {
    /// Its id.
    pub id: WireId,
    /// Its payload, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Its vectors, when any were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<ShownVectors>,
    /// The value it was ordered by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_value: Option<Value>,
}

impl Record {
    /// A point of which `with` was asked.
    pub fn new(point: StoredPoint, with: &With) -> Self {
        Record {
            id: WireId(point.id),
            payload: point.payload,
            vector: (with.vectors != VectorSelection::None).then_some(ShownVectors(point.vectors)),
            order_value: None,
        }
    }

    /// The same, found by `value` of the field it was ordered by.
    pub fn ordered_by(mut self, value: f64) -> Self {
        self.order_value = Some(number(value));
        self
    }
}

/// Largest whole number of which every smaller one is a double too.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Whole values as whole numbers: that is what payloads mostly hold, and what dates are.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return Value::from(value as i64);
    }
    Value::from(value)
}
