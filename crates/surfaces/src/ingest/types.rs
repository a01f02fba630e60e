//! Wire shapes of the ingest.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The query of an ingest, as text: what is wrong with a value is said here and not by a parser.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestQuery {
    pub source: Option<String>,
    pub model: Option<String>,
    pub kind: Option<String>,
    pub chunker: Option<String>,
    pub chunk_size: Option<String>,
    pub chunk_overlap: Option<String>,
    /// Names of columns, parted by commas.
    pub text_columns: Option<String>,
    pub vector_column: Option<String>,
    /// A JSON object.
    pub attributes: Option<String>,
    pub dry_run: Option<String>,
    /// Of a question for one source: SHA-256 of its bytes in hexadecimal.
    pub sha256: Option<String>,
}

/// One line of the answer to an ingest.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum IngestLine {
    /// So much is done.
    Progress {
        chunks: u64,
        stored: u64,
        tokens: u64,
    },
    /// A place that could not be read.
    Fault(FaultReply),
    /// The end.
    Done(DoneReply),
}

/// A fault and its place.
#[derive(Debug, Serialize)]
pub struct FaultReply {
    pub place: String,
    pub message: String,
}

/// What became of a file.
#[derive(Debug, Serialize)]
pub struct DoneReply {
    pub source: String,
    /// `stored`, `unchanged`, `failed` or `dry_run`.
    pub state: &'static str,
    pub model: String,
    pub chunks: u64,
    pub tokens: u64,
    pub replaced: u64,
    pub faults: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FaultReply>,
}

/// Files of a collection.
#[derive(Debug, Serialize)]
pub struct SourcesReply {
    pub sources: Vec<SourceReply>,
}

/// A file of a collection.
#[derive(Debug, Serialize)]
pub struct SourceReply {
    pub source: String,
    pub chunks: u64,
}

/// What a collection has of a file.
#[derive(Debug, Serialize)]
pub struct StateReply {
    pub source: String,
    /// `new`, `changed` or `unchanged`.
    pub state: &'static str,
}

/// What was taken out.
#[derive(Debug, Serialize)]
pub struct RemovedReply {
    pub source: String,
    pub removed: u64,
}

/// A search by text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchBody {
    pub query: String,
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub limit: Option<usize>,
    #[serde(default)]
    pub model: Option<String>,
}

/// What was found, best first.
#[derive(Debug, Serialize)]
pub struct SearchReply {
    pub results: Vec<FoundReply>,
}

/// A chunk that was found.
#[derive(Debug, Serialize)]
pub struct FoundReply {
    pub id: String,
    pub score: f32,
    pub payload: Map<String, Value>,
}
