//! Collections of points as the product offers them: one vector database per tenant, opened when it is first asked for,
//! under one memory budget, with aliases and snapshots.
//!
//! ```text
//! <directory>/<tenant>/aliases.json     other names of collections
//! <directory>/<tenant>/…                what `vectors::Database` keeps: lock, collections/, imports/
//! ```
//!
//! What must always hold:
//! 1. A collection belongs to its tenant; to every other tenant it does not exist, and nothing it does is counted there.
//! 2. The engine blocks, so it runs on threads that may, a bounded number at once; who waits for one is bounded too.
//! 3. A tenant that never wrote anything has no directory, no database and no thread.
//! 4. A name means a collection or an alias, never both.
//!
//! The plain types of requests are those of `vectors`, re-exported here for the surfaces.

mod aliases;
mod call;
mod change;
mod failures;
pub mod inference;
mod input;
mod lanes;
mod manage;
mod matrix;
mod metrics;
mod payload_indexes;
mod read;
mod search;
mod snapshots;
mod streams;
mod tenants;
mod types;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use platform::Clock;
use vectors::memory::Ledger;

pub use input::{Document, Embedded, InferenceUsage, Input};
pub use matrix::{Matrix, MatrixRequest};
pub use streams::Pieces;
pub use types::*;

pub use vectors::collection::{
    CollectionInfo, Direction, FacetHit, Operation, OrderBy, PayloadSelection, PointGroup,
    Precondition, QueriedPoint, ScrollPage, ScrollRequest, Selection, Status, StoredPoint,
    VectorSelection, With, WriteOptions, WriteOutcome,
};
pub use vectors::filter;
pub use vectors::filter::{Condition, FieldPath, FieldTest, Filter};
pub use vectors::payload::{PayloadIndexKind, PayloadIndexSchema};
pub use vectors::point::{Payload, Point, PointId, SparseVector, Vector};
pub use vectors::query;
pub use vectors::schema::{
    CollectionSchema, Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema,
};
pub use vectors::text::{AnalyzerOptions, Bm25, Language, Tokenizer};

pub(crate) use lanes::Lane;

use lanes::Lanes;
use tenants::Tenants;

/// How collections are kept.
#[derive(Debug, Clone)]
pub struct CollectionsOptions {
    /// Where; made with the first collection.
    pub directory: PathBuf,
    /// Heap bytes that the collections of all tenants together may hold; `None` sets no limit.
    pub memory_budget_bytes: Option<u64>,
    /// Threads per tenant that seal, merge and index in the background, at least 1.
    pub maintenance_threads: usize,
    /// Whether a write is answered only when it is on disk, even when its caller did not ask to wait.
    pub always_durable: bool,
    /// Searches and reads that compute at once; more wait.
    pub reads_max: usize,
    /// Largest archive that is taken as a snapshot.
    pub snapshot_bytes_max: u64,
    /// Time of points with an end.
    pub clock: Clock,
}

/// Archives larger than this are hardly sent in one piece.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 30;

impl CollectionsOptions {
    /// No memory budget, one maintenance thread per tenant, two reads per processor at once, durability as callers ask.
    pub fn new(directory: PathBuf) -> Self {
        CollectionsOptions {
            directory,
            memory_budget_bytes: None,
            maintenance_threads: 1,
            always_durable: false,
            reads_max: 2 * platform::cpu::usable_threads().get().max(2),
            snapshot_bytes_max: SNAPSHOT_BYTES_MAX,
            clock: Clock::system(),
        }
    }
}

/// The parts behind the use cases.
pub(crate) struct Collections {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) lanes: Lanes,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) always_durable: bool,
    pub(crate) snapshot_bytes_max: u64,
}

impl Collections {
    /// Nothing is opened or created yet.
    pub(crate) fn new(options: CollectionsOptions) -> Self {
        let ledger = Ledger::new(options.memory_budget_bytes);
        Collections {
            lanes: Lanes::new(options.reads_max),
            always_durable: options.always_durable,
            snapshot_bytes_max: options.snapshot_bytes_max,
            tenants: Arc::new(Tenants::new(options, Arc::clone(&ledger))),
            ledger,
        }
    }
}
