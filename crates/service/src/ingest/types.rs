//! What is asked of an ingest, and what it tells.

pub use documents::{Kind as DocumentKind, RecordOptions, Strategy};
use vectors::point::Payload;

/// How text is cut; what is `None` follows the model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ChunkingChoice {
    /// Where chunks end; Markdown structure for Markdown, HTML and Word, recursive for the rest.
    pub strategy: Option<Strategy>,
    /// Most tokens of a chunk: 256, or what the model reads when that is less.
    pub size: Option<usize>,
    /// Tokens that repeat the end of the chunk before: an eighth of the size.
    pub overlap: Option<usize>,
}

/// How a file is put into a collection.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// The embedding model. Without it, the one that made the collection's vectors, else the only one of the store.
    pub model: Option<String>,
    /// How text is cut.
    pub chunking: ChunkingChoice,
    /// How records become text.
    pub records: RecordOptions,
    /// What the file is; told by its name and first bytes when absent.
    pub kind: Option<DocumentKind>,
    /// What the owner notes about the file; the `attributes` of its points.
    pub attributes: Payload,
    /// Read and cut, but embed and store nothing.
    pub dry_run: bool,
}

/// A fault of one place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `page 3`, `row 7, line 9`.
    pub place: String,
    /// What.
    pub message: String,
}

/// What happens while a file is put in.
#[derive(Debug, Clone, PartialEq)]
pub enum IngestEvent {
    /// So much is done.
    Progress {
        /// Chunks that were cut.
        chunks: u64,
        /// Of them, those that are stored.
        stored: u64,
        /// Tokens in them.
        tokens: u64,
    },
    /// A place could not be read; the rest goes on.
    Fault(Fault),
    /// The end.
    Done(IngestReport),
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IngestReport {
    /// Its name.
    pub source: String,
    /// True when the stored version was the same, so that nothing was done.
    pub unchanged: bool,
    /// Chunks of it, those that are stored now when it was no dry run.
    pub chunks: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Points of an earlier version that were deleted.
    pub replaced: u64,
    /// Places that could not be read.
    pub faults: u64,
    /// Why the file as a whole could not be read; the earlier version is untouched then.
    pub failure: Option<Fault>,
    /// The embedding model.
    pub model: String,
}
