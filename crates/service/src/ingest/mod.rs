//! Documents into collections: read, cut, embedded, stored, one file at a time.
//!
//! ```text
//!  file ─► documents::load ─► chunks ─► batches ─► embed_operations ─► points_batch
//!          on a thread that may block   bounded channel               dense and `bm25`
//! ```
//!
//! What must always hold:
//! 1. A file is in its collection as a whole or not at all: the first chunk, which says that a version is complete, is
//!    written last, and the points of other versions go only after it.
//! 2. A file whose content, model and way of cutting are those of the stored version is not read again.
//! 3. At most [`INGESTS_MAX`] files are read at once, each with a bounded number of chunks in memory.

mod model;
mod points;
mod reading;
mod search;
mod sources;
mod target;
mod types;
mod work;

pub use search::{Found, SearchMode, TextSearch};
pub use sources::{SOURCES_MAX, SourceState, SourceSummary, SourceText};
pub use types::{
    ChunkingChoice, DocumentKind, Fault, IngestEvent, IngestOptions, IngestReport, RecordOptions,
    Strategy,
};
pub use work::IngestEvents;

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Files that are read at once, of all tenants. Each takes a thread and tens of megabytes.
pub const INGESTS_MAX: usize = 4;

/// The parts behind the use cases.
pub(crate) struct Ingests {
    pub(crate) room: Arc<Semaphore>,
}

impl Ingests {
    pub(crate) fn new() -> Self {
        Ingests {
            room: Arc::new(Semaphore::new(INGESTS_MAX)),
        }
    }
}
