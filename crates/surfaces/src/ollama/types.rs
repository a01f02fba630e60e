//! Request shapes as clients send them. Absent and `null` read the same; what takes more than one JSON type stays a
//! [`Value`] and is read where the error can name it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What chat and generate have in common.
#[derive(Debug, Deserialize)]
pub struct GenerationBody {
    pub model: Option<String>,
    /// On unless it is false.
    pub stream: Option<bool>,
    /// `"json"` or a JSON Schema.
    pub format: Option<Value>,
    pub keep_alive: Option<Value>,
    pub options: Option<Map<String, Value>>,
    /// A truth value or a level.
    pub think: Option<Value>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
}

/// `POST /api/chat`, beside [`GenerationBody`].
#[derive(Debug, Deserialize)]
pub struct ChatBody {
    pub messages: Option<Vec<MessageBody>>,
    pub tools: Option<Vec<ToolBody>>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub struct MessageBody {
    pub role: String,
    pub content: Option<String>,
    pub thinking: Option<String>,
    pub images: Option<Vec<Value>>,
    pub tool_calls: Option<Vec<ToolCallBody>>,
    pub tool_name: Option<String>,
    pub tool_call_id: Option<String>,
}

/// A call that an assistant's message made.
#[derive(Debug, Deserialize)]
pub struct ToolCallBody {
    pub id: Option<String>,
    pub function: CalledFunction,
}

/// The function of such a call.
#[derive(Debug, Deserialize)]
pub struct CalledFunction {
    pub name: String,
    pub arguments: Option<Map<String, Value>>,
}

/// A tool on offer.
#[derive(Debug, Deserialize)]
pub struct ToolBody {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: FunctionBody,
}

/// Its function.
#[derive(Debug, Deserialize)]
pub struct FunctionBody {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<Map<String, Value>>,
}

/// `POST /api/generate`, beside [`GenerationBody`].
#[derive(Debug, Default, Deserialize)]
pub struct GenerateBody {
    pub prompt: Option<String>,
    pub suffix: Option<String>,
    pub system: Option<String>,
    pub template: Option<String>,
    /// Tokens of an earlier prompt and its answer.
    pub context: Option<Vec<u32>>,
    pub raw: Option<bool>,
    pub images: Option<Vec<Value>>,
}

/// `POST /api/embed`.
#[derive(Debug, Deserialize)]
pub struct EmbedBody {
    pub model: Option<String>,
    /// A text or texts.
    pub input: Option<Value>,
    /// On unless it is false.
    pub truncate: Option<bool>,
    pub dimensions: Option<u32>,
    pub keep_alive: Option<Value>,
}

/// `POST /api/embeddings`, the older form for one text.
#[derive(Debug, Deserialize)]
pub struct EmbeddingBody {
    pub model: Option<String>,
    pub prompt: Option<String>,
    pub keep_alive: Option<Value>,
}

/// `POST /api/show`, `DELETE /api/delete`, and what a pull is asked with. `name` is the older spelling.
#[derive(Debug, Deserialize)]
pub struct ModelBody {
    pub model: Option<String>,
    pub name: Option<String>,
    pub stream: Option<bool>,
}

/// `POST /api/copy`.
#[derive(Debug, Deserialize)]
pub struct CopyBody {
    pub source: Option<String>,
    pub destination: Option<String>,
}

/// `POST /api/create`.
#[derive(Debug, Deserialize)]
pub struct CreateBody {
    pub model: Option<String>,
    pub name: Option<String>,
    pub from: Option<String>,
    /// File name to digest.
    pub files: Option<BTreeMap<String, String>>,
    pub system: Option<String>,
    pub parameters: Option<Map<String, Value>>,
    pub adapters: Option<Value>,
    pub template: Option<String>,
    pub license: Option<Value>,
    pub messages: Option<Vec<Value>>,
    pub quantize: Option<String>,
    /// The text of a Modelfile, which only the oldest clients send.
    pub modelfile: Option<String>,
    pub stream: Option<bool>,
}
