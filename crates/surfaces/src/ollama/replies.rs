//! Reply shapes of chat, generate and embed.

use serde::Serialize;
use serde_json::{Map, Value};

/// A piece of an answer, or all of it.
#[derive(Debug, Serialize)]
pub struct AnswerReply<'a> {
    pub model: &'a str,
    /// RFC 3339.
    pub created_at: String,
    #[serde(flatten)]
    pub said: Said,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    pub done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_reason: Option<&'static str>,
    #[serde(flatten)]
    pub measures: Option<Measures>,
    /// Tokens of the prompt and its answer, to be given back with the next prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<u32>>,
}

/// What was said, in the words of the route that was asked.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Said {
    Chat {
        message: MessageReply,
    },
    Generate {
        response: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        thinking: String,
    },
}

#[derive(Debug, Serialize)]
pub struct MessageReply {
    pub role: &'static str,
    pub content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallReply>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ToolCallReply {
    pub id: String,
    pub function: FunctionReply,
}

#[derive(Debug, Clone, Serialize)]
pub struct FunctionReply {
    pub index: u32,
    pub name: String,
    pub arguments: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Logprob {
    #[serde(flatten)]
    pub token: LogprobToken,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<LogprobToken>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LogprobToken {
    pub token: String,
    pub logprob: f32,
    pub bytes: Vec<u8>,
}

/// Tokens and where the time went, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Measures {
    pub total_duration: u64,
    pub load_duration: u64,
    pub prompt_eval_count: u32,
    pub prompt_eval_duration: u64,
    pub eval_count: u32,
    pub eval_duration: u64,
}

#[derive(Debug, Serialize)]
pub struct EmbedReply<'a> {
    pub model: &'a str,
    pub embeddings: Vec<&'a [f32]>,
    pub total_duration: u64,
    pub load_duration: u64,
    pub prompt_eval_count: u32,
}

/// The older form, for one text.
#[derive(Debug, Serialize)]
pub struct EmbeddingReply {
    pub embedding: Vec<f32>,
}
