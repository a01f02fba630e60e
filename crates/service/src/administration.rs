//! Plain types of the administrative use cases: what models there are, what is loaded, pulls, readiness.

use std::pin::Pin;

use futures::Stream;

use crate::error::Result;

/// What a model was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// It continues text.
    Generate,
    /// It turns text into vectors.
    Embed,
    /// It scores a query with a document.
    Rank,
}

impl ModelKind {
    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Generate => "generate",
            ModelKind::Embed => "embed",
            ModelKind::Rank => "rank",
        }
    }
}

/// A model of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSummary {
    /// Full name.
    pub name: String,
    /// `sha256:<hex>` of the weights.
    pub digest: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// When it was imported, seconds since 1970.
    pub created_unix: u64,
    /// Where it came from, in words (`hf:owner/repo:file`, a URL, a path, `embedded`).
    pub origin: String,
    /// What it was made for.
    pub kind: ModelKind,
    /// Architecture name of its header (`llama`, `bert`).
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// Quantisation label (`Q4_K_M`).
    pub quantization: String,
    /// Positions it was trained for.
    pub context_length: u32,
    /// Width of its hidden state, and of its vectors when it embeds.
    pub embedding_length: u32,
    /// How token states become one vector, when the file says so.
    pub pooling: Option<String>,
    /// It carries a chat template.
    pub has_chat_template: bool,
    /// Licence, when the file says so.
    pub license: Option<String>,
}

/// Where a loaded model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResidentState {
    /// Its runner is reading the weights.
    Loading,
    /// It answers.
    Ready,
    /// It finishes what runs and ends.
    Draining,
}

impl ResidentState {
    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            ResidentState::Loading => "loading",
            ResidentState::Ready => "ready",
            ResidentState::Draining => "draining",
        }
    }
}

/// A model in memory: one runner process.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidentModel {
    /// Full name.
    pub name: String,
    /// `sha256:<hex>` of the weights.
    pub digest: String,
    /// Process id of the runner; `None` while it is not running.
    pub pid: Option<u32>,
    /// Where it stands.
    pub state: ResidentState,
    /// When it was loaded, seconds since 1970.
    pub loaded_unix: u64,
    /// When it will be unloaded if nobody uses it; `None`: never.
    pub expires_unix: Option<u64>,
    /// Memory it holds, in bytes.
    pub memory_bytes: u64,
    /// Requests it is answering.
    pub in_flight: u32,
    /// How often its runner was started again.
    pub restarts: u32,
    /// Never unloaded to make room.
    pub pinned: bool,
}

/// A model to fetch.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequest {
    /// `hf:owner/repo[:file]`, an https URL, or (for local callers) a path.
    pub source: String,
    /// Name in the store; `None`: taken from the source.
    pub name: Option<String>,
}

/// One step of a pull.
#[derive(Debug, Clone, PartialEq)]
pub enum PullEvent {
    /// What is being done, in words, and how far it is.
    Progress {
        /// `resolving`, `downloading`, `verifying`, `importing`.
        stage: String,
        /// Bytes done.
        done_bytes: u64,
        /// Bytes in all, when known.
        total_bytes: Option<u64>,
        /// `sha256:<hex>` that the file will have, when that was promised.
        digest: Option<String>,
    },
    /// It is in the store. Last.
    Finished(Box<ModelSummary>),
}

/// A running pull. Dropping it stops the download; what was fetched is kept for the next attempt.
pub type Pull = Pin<Box<dyn Stream<Item = Result<PullEvent>> + Send>>;

/// Whether requests can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Requests can be served.
    pub ready: bool,
    /// The server is finishing and takes nothing new.
    pub draining: bool,
    /// Why not ready, in words.
    pub reason: Option<String>,
}
