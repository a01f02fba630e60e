//! Points: what callers store and get back.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Payload of a point: one JSON object.
pub type Payload = serde_json::Map<String, serde_json::Value>;

/// Identifies a point in its collection. Numbers sort before UUIDs, each by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PointId {
    /// An unsigned 64-bit number.
    Number(u64),
    /// A UUID as its 128-bit value.
    Uuid(u128),
}

impl fmt::Display for PointId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PointId::Number(number) => write!(formatter, "{number}"),
            PointId::Uuid(value) => write!(
                formatter,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                value >> 96,
                (value >> 80) & 0xffff,
                (value >> 64) & 0xffff,
                (value >> 48) & 0xffff,
                value & 0xffff_ffff_ffff
            ),
        }
    }
}

/// Non-zero entries of a high-dimensional vector. Indices are strictly increasing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SparseVector {
    /// Dimensions that are not zero, strictly increasing.
    pub indices: Vec<u32>,
    /// Their values, finite, one for each index.
    pub values: Vec<f32>,
}

/// One vector of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// `dimensions` finite values.
    Dense(Vec<f32>),
    /// Non-zero entries.
    Sparse(SparseVector),
    /// Several dense vectors of one size, compared by the sum over query vectors of the best match (max-sim).
    Multi(Vec<Vec<f32>>),
}

/// A point as it is stored: vectors by name (the unnamed vector's name is the empty string). `V` is what its vectors are
/// given as: the engine stores [`Vector`]s, and callers that accept more (a text to be embedded) turn theirs into them.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<V = Vector> {
    /// Its identity.
    pub id: PointId,
    /// Its vectors by name.
    pub vectors: BTreeMap<String, V>,
    /// Its payload.
    pub payload: Payload,
    /// When it ceases to exist, in milliseconds since 1970; `None` keeps it.
    pub expires_unix_ms: Option<u64>,
}
