//! Wire shapes of vector stores, in the field order of OpenAI's documentation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /v1/vector_stores`. Absent and `null` read the same.
#[derive(Debug, Deserialize)]
pub struct CreateBody {
    pub name: Option<String>,
    pub description: Option<String>,
    pub file_ids: Option<Vec<String>>,
    pub expires_after: Option<ExpiresAfter>,
    pub chunking_strategy: Option<ChunkingStrategy>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// How long a vector store lives.
#[derive(Debug, Deserialize, Serialize)]
pub struct ExpiresAfter {
    /// Always `last_active_at`.
    pub anchor: String,
    pub days: u32,
}

/// How a file is cut.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChunkingStrategy {
    Auto,
    Static {
        #[serde(rename = "static")]
        sizes: StaticSizes,
    },
}

/// Sizes in tokens of the embedding model.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct StaticSizes {
    pub max_chunk_size_tokens: u32,
    pub chunk_overlap_tokens: u32,
}

/// `POST /v1/vector_stores/{id}/files`, and one of the files of a batch.
#[derive(Debug, Deserialize)]
pub struct FileBody {
    pub file_id: String,
    pub attributes: Option<Map<String, Value>>,
    pub chunking_strategy: Option<ChunkingStrategy>,
}

/// `POST /v1/vector_stores/{id}/file_batches`.
#[derive(Debug, Deserialize)]
pub struct BatchBody {
    pub file_ids: Option<Vec<String>>,
    pub files: Option<Vec<FileBody>>,
    pub attributes: Option<Map<String, Value>>,
    pub chunking_strategy: Option<ChunkingStrategy>,
}

/// `POST /v1/vector_stores/{id}/search`.
#[derive(Debug, Deserialize)]
pub struct SearchBody {
    /// A text or a list of texts.
    pub query: Value,
    pub rewrite_query: Option<bool>,
    pub max_num_results: Option<usize>,
    pub filters: Option<Value>,
    pub ranking_options: Option<RankingOptions>,
}

/// How results are ranked.
#[derive(Debug, Deserialize)]
pub struct RankingOptions {
    pub ranker: Option<String>,
    pub score_threshold: Option<f32>,
    pub hybrid_search: Option<HybridSearch>,
}

/// Weights of meaning and of words.
#[derive(Debug, Deserialize)]
pub struct HybridSearch {
    pub embedding_weight: f32,
    pub text_weight: f32,
}

/// A vector store.
#[derive(Debug, Serialize)]
pub struct StoreReply {
    pub id: String,
    pub object: &'static str,
    pub created_at: i64,
    pub name: String,
    pub description: Option<String>,
    pub usage_bytes: u64,
    pub file_counts: FileCountsReply,
    pub status: &'static str,
    pub expires_after: Option<ExpiresAfter>,
    pub expires_at: Option<i64>,
    pub last_active_at: i64,
    pub metadata: BTreeMap<String, String>,
}

/// Files by state.
#[derive(Debug, Serialize)]
pub struct FileCountsReply {
    pub in_progress: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub total: u64,
}

/// A file in a vector store.
#[derive(Debug, Serialize)]
pub struct StoreFileReply {
    pub id: String,
    pub object: &'static str,
    pub usage_bytes: u64,
    pub created_at: i64,
    pub vector_store_id: String,
    pub status: &'static str,
    pub last_error: Option<LastError>,
    pub chunking_strategy: ChunkingStrategy,
    pub attributes: Map<String, Value>,
}

/// Why a file failed.
#[derive(Debug, Serialize)]
pub struct LastError {
    pub code: String,
    pub message: String,
}

/// A batch.
#[derive(Debug, Serialize)]
pub struct BatchReply {
    pub id: String,
    pub object: &'static str,
    pub created_at: i64,
    pub vector_store_id: String,
    pub status: &'static str,
    pub file_counts: FileCountsReply,
}

/// Something that is gone.
#[derive(Debug, Serialize)]
pub struct DeletedReply {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
}

/// A page that goes on by a token, not by an id.
#[derive(Debug, Serialize)]
pub struct TokenPage<T> {
    pub object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_query: Option<Vec<String>>,
    pub data: Vec<T>,
    pub has_more: bool,
    pub next_page: Option<String>,
}

/// A piece of text.
#[derive(Debug, Serialize)]
pub struct TextReply {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub text: String,
}

/// A result of a search.
#[derive(Debug, Serialize)]
pub struct HitReply {
    pub file_id: String,
    pub filename: String,
    pub score: f32,
    pub attributes: Map<String, Value>,
    pub content: [TextReply; 1],
}
