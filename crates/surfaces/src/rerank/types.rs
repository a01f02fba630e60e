//! Wire shapes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /v1/rerank` (Jina, Cohere's first version) and `POST /v2/rerank` (Cohere's second).
#[derive(Debug, Deserialize)]
pub struct RerankBody {
    pub model: Option<String>,
    pub query: Value,
    pub documents: Vec<Value>,
    pub top_n: Option<u64>,
    pub return_documents: Option<bool>,
    /// Cohere's second version.
    pub max_tokens_per_doc: Option<u32>,
    /// Cohere's first version: parts of a long document, which are not made here.
    pub max_chunks_per_doc: Option<u32>,
    /// Cohere's first version: fields of structured documents.
    pub rank_fields: Option<Vec<String>>,
    /// Jina's: cut what is too long, as both services do unless told otherwise.
    pub truncation: Option<bool>,
    pub keep_alive: Option<Value>,
}

/// The reply to it.
#[derive(Debug, Serialize)]
pub struct RerankReply {
    pub id: String,
    pub object: &'static str,
    pub model: String,
    /// Ours: `cross_encoder`, or `embedding_cosine` when an embedding model was named.
    pub method: &'static str,
    pub results: Vec<RerankResult>,
    pub usage: RerankUsage,
    pub meta: RerankMeta,
}

/// One document's place.
#[derive(Debug, Serialize)]
pub struct RerankResult {
    pub index: usize,
    pub relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Map<String, Value>>,
}

/// Jina's count of what was read.
#[derive(Debug, Serialize)]
pub struct RerankUsage {
    pub prompt_tokens: u32,
    pub total_tokens: u32,
}

/// Cohere's.
#[derive(Debug, Serialize)]
pub struct RerankMeta {
    pub api_version: ApiVersion,
    pub tokens: InputTokens,
}

/// Which of Cohere's APIs was called.
#[derive(Debug, Serialize)]
pub struct ApiVersion {
    pub version: &'static str,
}

/// Tokens in Cohere's words.
#[derive(Debug, Serialize)]
pub struct InputTokens {
    pub input_tokens: u32,
}

/// `POST /rerank`, as text-embeddings-inference has it.
#[derive(Debug, Deserialize)]
pub struct TeiBody {
    pub query: String,
    pub texts: Vec<String>,
    /// Ours: that server has one model, this one may have several.
    pub model: Option<String>,
    pub raw_scores: Option<bool>,
    pub return_text: Option<bool>,
    pub truncate: Option<bool>,
    pub truncation_direction: Option<String>,
}

/// One text's place in TEI's reply, which is a list of these.
#[derive(Debug, Serialize)]
pub struct TeiRank {
    pub index: usize,
    pub score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
