//! Arguments and answers of the tools. Their JSON Schemas, with these comments as descriptions, are what clients see.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageRole {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageArgument {
    /// Who wrote it.
    pub role: MessageRole,
    /// Its text.
    pub content: String,
}

/// Arguments of `generate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateArguments {
    /// Name of a model of the kind `generate`, as `list_models` gives it.
    pub model: String,
    /// What to answer. Give this or `messages`.
    pub prompt: Option<String>,
    /// A conversation, oldest first, whose next turn is wanted. Give this or `prompt`.
    #[schemars(length(min = 1, max = 1024))]
    pub messages: Option<Vec<MessageArgument>>,
    /// Instructions to the model, before everything else.
    pub system: Option<String>,
    /// Most tokens of the answer.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// 0 takes the likeliest token always; up to 2.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f32>,
    /// Only the likeliest tokens that together have this probability are considered.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f32>,
    /// The same seed and arguments give the same answer.
    pub seed: Option<u64>,
    /// The answer ends before any of these texts.
    #[schemars(length(max = 16))]
    pub stop: Option<Vec<String>>,
    /// A JSON Schema that the answer must be valid under; the answer is then JSON.
    pub json_schema: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Answer of `generate`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GenerateAnswer {
    /// Name of the model that answered.
    pub model: String,
    /// The answer.
    pub text: String,
    /// What the model wrote to itself before the answer, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why the answer ended: `stop` (the model or a stop text ended it) or `length` (`max_tokens` or the context did).
    pub finish_reason: String,
    /// Tokens read.
    pub input_tokens: u32,
    /// Of those, taken from the cache.
    pub cached_tokens: u32,
    /// Tokens written.
    pub output_tokens: u32,
}

/// Arguments of `embed`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedArguments {
    /// Name of a model of the kind `embed`, as `list_models` gives it.
    pub model: String,
    /// Texts to turn into vectors.
    #[schemars(length(min = 1, max = 256))]
    pub texts: Vec<String>,
    /// Cut the vectors to this many dimensions and scale them to length 1 again.
    #[schemars(range(min = 1))]
    pub dimensions: Option<u32>,
    /// Cut texts that are too long for the model instead of refusing them.
    #[serde(default)]
    pub truncate: bool,
}

/// Answer of `embed`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EmbedAnswer {
    /// Name of the model that made them.
    pub model: String,
    /// Numbers in each vector.
    pub dimensions: u32,
    /// One vector per text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read.
    pub input_tokens: u32,
}

/// Arguments of `describe_model`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeModelArguments {
    /// Name, as `list_models` gives it.
    pub model: String,
}

/// A model in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelEntry {
    /// Name.
    pub name: String,
    /// What it was made for: `generate`, `embed` or `rank`.
    pub kind: String,
    /// Number of weights.
    pub parameters: u64,
    /// Positions it was trained for.
    pub context_length: u32,
}

/// Answer of `list_models`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelsAnswer {
    /// The models, by name.
    pub models: Vec<ModelEntry>,
}

/// Answer of `describe_model`, and the text of a model's resource.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelAnswer {
    /// Name.
    pub name: String,
    /// What it was made for: `generate`, `embed` or `rank`.
    pub kind: String,
    /// `sha256:` and the digest of the weights.
    pub digest: String,
    /// Size of the weights, in bytes.
    pub size_bytes: u64,
    /// When it came into the store, in seconds since 1970.
    pub created_unix: u64,
    /// Where it came from.
    pub origin: String,
    /// Architecture, such as `llama` or `bert`.
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// How the weights are stored, such as `Q4_K_M`.
    pub quantization: String,
    /// Positions it was trained for.
    pub context_length: u32,
    /// Width of its hidden state, and of its vectors when it embeds.
    pub embedding_length: u32,
    /// It carries a chat template.
    pub has_chat_template: bool,
    /// Licence, when its file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}
