//! Request shapes of the OpenAI API as clients send them. Absent and `null` read the same. Fields that take more than one
//! JSON type stay [`Value`]s here and are read in `settings`, `messages` and `prompts`, where the error can name the path.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Number, Value};

/// What chat and raw completions have in common: how to generate, and how to answer.
#[derive(Debug, Deserialize)]
pub struct GenerationBody {
    pub n: Option<u32>,
    pub best_of: Option<u32>,
    pub seed: Option<Number>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// vLLM writes -1 for "off".
    pub top_k: Option<i64>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub logit_bias: Option<BTreeMap<String, f32>>,
    pub stop: Option<Value>,
    pub stop_token_ids: Option<Vec<u32>>,
    pub ignore_eos: Option<bool>,
    pub min_tokens: Option<u32>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub response_format: Option<Value>,
    pub guided_json: Option<Value>,
    pub guided_regex: Option<String>,
    pub guided_grammar: Option<String>,
    pub guided_choice: Option<Vec<String>>,
    pub structured_outputs: Option<StructuredOutputs>,
    pub cache_salt: Option<String>,
    pub priority: Option<Value>,
    pub keep_alive: Option<Value>,
    pub options: Option<Map<String, Value>>,
    pub service_tier: Option<String>,
}

/// What a stream carries beside the text.
#[derive(Debug, Deserialize)]
pub struct StreamOptions {
    /// One more chunk with the usage.
    pub include_usage: Option<bool>,
}

/// vLLM's newer spelling of constrained output.
#[derive(Debug, Deserialize)]
pub struct StructuredOutputs {
    pub json: Option<Value>,
    pub json_object: Option<bool>,
    pub regex: Option<String>,
    pub choice: Option<Vec<String>>,
    pub grammar: Option<String>,
}

/// `POST /v1/chat/completions`, beside [`GenerationBody`].
#[derive(Debug, Deserialize)]
pub struct ChatBody {
    pub model: String,
    pub messages: Vec<MessageBody>,
    pub tools: Option<Vec<ToolBody>>,
    pub tool_choice: Option<Value>,
    pub parallel_tool_calls: Option<bool>,
    pub max_tokens: Option<u32>,
    pub max_completion_tokens: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub chat_template_kwargs: Option<Map<String, Value>>,
    pub reasoning_effort: Option<String>,
    pub verbosity: Option<String>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub struct MessageBody {
    pub role: String,
    pub content: Option<Value>,
    pub name: Option<String>,
    pub refusal: Option<String>,
    pub reasoning_content: Option<String>,
    pub tool_calls: Option<Vec<ToolCallBody>>,
    pub tool_call_id: Option<String>,
    pub function_call: Option<Value>,
    pub audio: Option<Value>,
}

/// A call that an assistant's message made.
#[derive(Debug, Deserialize)]
pub struct ToolCallBody {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: CalledFunction,
}

/// The function of such a call.
#[derive(Debug, Deserialize)]
pub struct CalledFunction {
    pub name: String,
    pub arguments: String,
}

/// A tool on offer.
#[derive(Debug, Deserialize)]
pub struct ToolBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub function: Option<FunctionBody>,
}

/// Its function.
#[derive(Debug, Deserialize)]
pub struct FunctionBody {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<Map<String, Value>>,
    pub strict: Option<bool>,
}

/// `POST /v1/completions`, beside [`GenerationBody`].
#[derive(Debug, Deserialize)]
pub struct CompletionBody {
    pub model: String,
    pub prompt: Option<Value>,
    pub echo: Option<bool>,
    pub logprobs: Option<u32>,
    pub max_tokens: Option<u32>,
}

/// `POST /v1/embeddings`.
#[derive(Debug, Deserialize)]
pub struct EmbeddingsBody {
    pub model: String,
    pub input: Option<Value>,
    pub dimensions: Option<u32>,
    pub encoding_format: Option<String>,
    /// Ollama's extra: cut what is too long instead of refusing it.
    pub truncate: Option<bool>,
    pub keep_alive: Option<Value>,
}
