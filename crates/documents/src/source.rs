//! What is read, and how.

use std::path::PathBuf;

use crate::kind::Kind;
use crate::limits::Limits;
use crate::record::RecordOptions;

/// One input.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file of this machine.
    File {
        /// Where it is.
        path: PathBuf,
        /// What its owner calls it; its ending tells the kind.
        name: String,
    },
    /// Tables of a PostgreSQL server, with pgvector's columns as vectors.
    Postgres {
        /// `postgres://user:password@host/database`.
        url: platform::Secret,
        /// The table, as `table` or `schema.table`.
        table: String,
    },
}

/// How an input is read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// What it is; told by its name and first bytes when absent.
    pub kind: Option<Kind>,
    /// How records become text.
    pub records: RecordOptions,
    /// Bounds.
    pub limits: Limits,
}
