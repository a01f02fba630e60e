//! Request shapes. Absent and `null` read the same; fields that take more than one JSON type stay [`Value`]s.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// `POST /v1/responses`, beside what every generation has.
#[derive(Debug, Deserialize)]
pub struct ResponsesBody {
    pub model: String,
    pub input: Option<Value>,
    pub instructions: Option<String>,
    pub previous_response_id: Option<String>,
    pub tools: Option<Vec<Value>>,
    pub tool_choice: Option<Value>,
    pub parallel_tool_calls: Option<bool>,
    pub text: Option<TextBody>,
    pub max_output_tokens: Option<u32>,
    pub max_tool_calls: Option<u32>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub reasoning: Option<ReasoningBody>,
    pub include: Option<Vec<String>>,
    pub background: Option<bool>,
    pub store: Option<bool>,
    pub stream: Option<bool>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub top_logprobs: Option<u32>,
    pub truncation: Option<String>,
    pub user: Option<String>,
    pub safety_identifier: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub chat_template_kwargs: Option<Map<String, Value>>,
}

/// How the text looks.
#[derive(Debug, Deserialize)]
pub struct TextBody {
    pub format: Option<Value>,
    pub verbosity: Option<String>,
}

/// How much the model thinks first.
#[derive(Debug, Deserialize)]
pub struct ReasoningBody {
    pub effort: Option<String>,
    pub summary: Option<String>,
}

/// Query of `GET /v1/responses/{id}`.
#[derive(Debug, Default, Deserialize)]
pub struct GetQuery {
    pub stream: Option<bool>,
    pub starting_after: Option<u64>,
}

/// Query of `GET /v1/responses/{id}/input_items`.
#[derive(Debug, Default, Deserialize)]
pub struct ItemsQuery {
    pub after: Option<String>,
    pub limit: Option<usize>,
    pub order: Option<String>,
}
