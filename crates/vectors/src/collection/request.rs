//! What callers ask of a collection, and what they get.

use std::collections::{BTreeMap, BTreeSet};

use crate::filter::{FieldPath, Filter};
use crate::index::SearchParameters;
use crate::point::{Payload, Point, PointId, Vector};

/// Which points a write concerns.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// These; ids that are not stored are passed over.
    Ids(Vec<PointId>),
    /// Every point that matches.
    Filter(Filter),
}

/// What a point must be like for a write to touch it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Precondition {
    /// Anything.
    #[default]
    None,
    /// Stored at exactly this version; 0 means "not stored". Otherwise the whole batch fails with
    /// [`VersionConflict`](crate::VectorsError::VersionConflict) and changes nothing.
    Version(u64),
    /// Not stored yet. Points that are stored are passed over.
    Absent,
    /// Stored already. Points that are not are passed over.
    Present,
    /// Not stored, or stored and matching. Stored points that do not match are passed over.
    Matches(Filter),
}

/// How a write is done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteOptions {
    /// Return only when the write survives a power cut. Without it the write is visible at once and durable a little later.
    pub wait: bool,
    /// Checked under the write lock, point by point.
    pub precondition: Precondition,
}

impl WriteOptions {
    /// A durable write without a precondition.
    pub fn durable() -> Self {
        WriteOptions {
            wait: true,
            precondition: Precondition::None,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOutcome {
    /// Sequence number of the collection's last write; the version of the last point written.
    pub sequence: u64,
    /// Points written or deleted.
    pub changed: u64,
    /// Points named that were not stored, or that the precondition passed over.
    pub passed_over: u64,
}

/// One write of a batch; `V` as in [`Point`].
#[derive(Debug, Clone, PartialEq)]
pub enum Operation<V = Vector> {
    /// Store points, replacing those with the same ids as a whole.
    Upsert(Vec<Point<V>>),
    /// Delete points.
    Delete(Selection),
    /// Replace the named vectors of points and keep the others.
    UpdateVectors(Vec<(PointId, BTreeMap<String, V>)>),
    /// Take vectors away from points.
    DeleteVectors {
        /// Whose.
        selection: Selection,
        /// Which.
        names: Vec<String>,
    },
    /// Set keys of payloads and keep the others.
    SetPayload {
        /// Whose.
        selection: Selection,
        /// The keys and their values; a null takes its key away.
        payload: Payload,
        /// Where in the payload the keys are set: a path like `a.b[0].c` or `a.b[]`; `None` is the top.
        at: Option<FieldPath>,
    },
    /// Replace payloads as a whole.
    OverwritePayload {
        /// Whose.
        selection: Selection,
        /// The new payload.
        payload: Payload,
    },
    /// Take keys out of payloads.
    DeletePayloadKeys {
        /// Whose.
        selection: Selection,
        /// Paths of the keys.
        keys: Vec<FieldPath>,
    },
    /// Empty payloads.
    ClearPayload {
        /// Whose.
        selection: Selection,
    },
}

/// Which keys of a payload are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PayloadSelection {
    /// No payload; it is not read.
    #[default]
    None,
    /// All keys.
    All,
    /// Only what lies at these paths.
    Include(Vec<FieldPath>),
    /// All but what lies at these paths.
    Exclude(Vec<FieldPath>),
}

/// Which vectors are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VectorSelection {
    /// None.
    #[default]
    None,
    /// All the point has.
    All,
    /// Those of these names that the point has.
    Names(BTreeSet<String>),
}

/// What comes with each point of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct With {
    /// Payload.
    pub payload: PayloadSelection,
    /// Vectors, in their stored form: cosine vectors normalised.
    pub vectors: VectorSelection,
}

impl With {
    /// Nothing but the id.
    pub fn nothing() -> Self {
        With::default()
    }

    /// Payload and all vectors.
    pub fn everything() -> Self {
        With {
            payload: PayloadSelection::All,
            vectors: VectorSelection::All,
        }
    }

    /// The payload only.
    pub fn payload() -> Self {
        With {
            payload: PayloadSelection::All,
            vectors: VectorSelection::None,
        }
    }
}

/// A point as it is returned.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPoint {
    /// Its identity.
    pub id: PointId,
    /// Sequence number of the write that made this state of it.
    pub version: u64,
    /// Its payload; `None` when none was asked for.
    pub payload: Option<Payload>,
    /// The vectors asked for.
    pub vectors: BTreeMap<String, Vector>,
    /// When it ceases to exist, in milliseconds since 1970.
    pub expires_unix_ms: Option<u64>,
}

/// A point that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredPoint {
    /// The point.
    pub point: StoredPoint,
    /// How well it matches, as callers know the metric: similarity, or distance for Euclid and Manhattan.
    pub score: f32,
    /// The engine's order: larger is better whatever the metric.
    pub rank: f32,
}

/// A search with one vector.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// Which of the collection's vectors; the empty string is the unnamed one.
    pub vector: String,
    /// The query: dense for a dense vector, sparse for a sparse one; dense (one token) or multi for a multi-vector.
    pub query: Vector,
    /// Only points that match.
    pub filter: Option<Filter>,
    /// How to search; its `k` is ignored, `limit` and `offset` say how many.
    pub parameters: SearchParameters,
    /// The worst score wanted.
    pub score_threshold: Option<f32>,
    /// How many results.
    pub limit: usize,
    /// Results to pass over.
    pub offset: usize,
    /// What comes with each result.
    pub with: With,
}

impl SearchRequest {
    /// The `limit` points nearest to `query` by the vector called `vector`, everything else by default.
    pub fn new(vector: impl Into<String>, query: Vector, limit: usize) -> Self {
        SearchRequest {
            vector: vector.into(),
            query,
            filter: None,
            parameters: SearchParameters::default(),
            score_threshold: None,
            limit,
            offset: 0,
            with: With::nothing(),
        }
    }
}

/// Which way values are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// Order of a scroll by the values of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    /// Path of the field; numbers and datetimes are ordered. Points without it are left out; a point with several
    /// values comes once, at its first one in the direction.
    pub key: FieldPath,
    /// Which way.
    pub direction: Direction,
    /// Where to start: the first value wanted (datetimes as microseconds since 1970).
    pub start_from: Option<f64>,
}

/// A walk through a collection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScrollRequest {
    /// The first id wanted; only in the order of ids.
    pub offset: Option<PointId>,
    /// How many points.
    pub limit: usize,
    /// Only points that match.
    pub filter: Option<Filter>,
    /// `None` walks in the order of ids.
    pub order_by: Option<OrderBy>,
    /// What comes with each point.
    pub with: With,
}

/// A page of a walk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScrollPage {
    /// The points, in order, each with the value it was ordered by.
    pub points: Vec<StoredPoint>,
    /// The values the points were ordered by, one for each; empty in the order of ids.
    pub order_values: Vec<f64>,
    /// Where the next page begins; `None` at the end, and always with `order_by`.
    pub next: Option<PointId>,
}

/// How many points have a value in a field.
#[derive(Debug, Clone, PartialEq)]
pub struct FacetHit {
    /// The value: a string, number, or boolean.
    pub value: serde_json::Value,
    /// Points that have it.
    pub count: u64,
}
