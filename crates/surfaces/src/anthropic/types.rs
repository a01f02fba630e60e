//! Request shapes as clients send them. Absent and `null` read the same. What takes more than one JSON type stays a
//! [`Value`] here and is read in `conversation` and `convert`, where the error can name the path.

use serde::Deserialize;
use serde_json::{Map, Value};

/// `POST /v1/messages` and `POST /v1/messages/count_tokens`.
#[derive(Debug, Deserialize)]
pub struct MessagesBody {
    pub model: String,
    pub messages: Vec<MessageBody>,
    /// Required by `/v1/messages` only.
    pub max_tokens: Option<u32>,
    /// A text or text blocks.
    pub system: Option<Value>,
    pub stop_sequences: Option<Vec<String>>,
    pub stream: Option<bool>,
    /// 0 to 1.
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub metadata: Option<Metadata>,
    pub tools: Option<Vec<ToolBody>>,
    pub tool_choice: Option<ToolChoiceBody>,
    pub thinking: Option<ThinkingBody>,
    pub output_config: Option<OutputConfig>,
    /// The older spelling of `output_config.format`.
    pub output_format: Option<FormatBody>,
    pub service_tier: Option<String>,
}

/// One turn.
#[derive(Debug, Deserialize)]
pub struct MessageBody {
    pub role: String,
    /// A text or blocks.
    pub content: Value,
}

/// Facts about the request that change nothing of its answer.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub user_id: Option<String>,
}

/// A tool on offer.
#[derive(Debug, Deserialize)]
pub struct ToolBody {
    /// `custom` or absent; the others run on Anthropic's servers, or in the client with a schema that is not sent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub input_schema: Option<Map<String, Value>>,
    pub strict: Option<bool>,
}

/// Which tools may or must be called.
#[derive(Debug, Deserialize)]
pub struct ToolChoiceBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub disable_parallel_tool_use: Option<bool>,
}

/// Whether the model reasons before it answers.
#[derive(Debug, Deserialize)]
pub struct ThinkingBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub budget_tokens: Option<u32>,
}

/// How the answer is written.
#[derive(Debug, Deserialize)]
pub struct OutputConfig {
    pub format: Option<FormatBody>,
    pub effort: Option<String>,
}

/// The shape that the text must have.
#[derive(Debug, Deserialize)]
pub struct FormatBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub schema: Option<Value>,
}

/// Query of `GET /v1/models`.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    pub limit: Option<String>,
    pub after_id: Option<String>,
    pub before_id: Option<String>,
}
