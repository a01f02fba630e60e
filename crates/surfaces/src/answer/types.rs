//! Wire shapes.

use serde::Deserialize;
use serde_json::Value;

/// The request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerBody {
    pub question: String,
    /// One collection; or `collections`.
    pub collection: Option<String>,
    pub collections: Option<Vec<String>>,
    pub model: Option<String>,
    pub instructions: Option<String>,
    /// Most passages; 8 when absent.
    pub limit: Option<usize>,
    /// `true`: the configured ranking model, as when absent; `false`: none; a text: this model.
    pub rerank: Option<Value>,
    /// Passages that score less are left out.
    pub score_min: Option<f32>,
    /// Over attributes, as OpenAI's vector stores have it.
    pub filter: Option<Value>,
    pub max_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
    pub stream: Option<bool>,
}
