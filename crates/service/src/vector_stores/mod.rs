//! Vector stores: collections of texts that fill themselves from files.
//!
//! ```text
//!   a file attached ──► row `in_progress` ──► loaded, cut, embedded ──► points of the collection ──► row `completed`
//!                                │                      └─ what is wrong ──► row `failed`, no points
//!                                └─ killed: the next start finds the row and begins anew
//! ```
//! A vector store *is* the collection of its name (`vs_…`): whoever reads the collection sees the same points. A point is a
//! chunk of a file; its payload has `text`, `source` (the file's name), `file_id`, `chunk` (from 0), `attributes`, and where
//! the loader knows it `page`, `row`, `part`, `start` and `end`.
//!
//! What must always hold:
//! 1. What a caller was told is in the database; the work follows from the rows, so that no answer is lost with the process.
//! 2. At most one worker works on a file of a store. Before it adds points it takes the old ones away, so that beginning
//!    anew leaves no chunk twice.
//! 3. Workers are bounded, and take turns between tenants.

mod attach;
mod batches;
mod chunks;
mod filters;
mod loading;
mod manage;
mod search;
mod types;
mod work;

pub use attach::StoreFileContent;
pub use filters::{AttributeFilter, Comparison, FILTER_DEPTH_MAX, FILTER_NODES_MAX};
pub use types::*;

pub(crate) use work::Board;

/// The vector stores' part of a service.
pub(crate) struct VectorStores {
    pub(crate) options: VectorStoreOptions,
    pub(crate) board: Board,
}

impl VectorStores {
    pub(crate) fn new(options: VectorStoreOptions) -> Self {
        VectorStores {
            board: Board::default(),
            options,
        }
    }
}
