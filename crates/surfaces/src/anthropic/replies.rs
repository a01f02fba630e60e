//! Reply shapes, in the field order of the protocol's documentation.

use serde::Serialize;
use serde_json::Value;

/// A whole answer; in a stream, the one that begins it.
#[derive(Debug, Serialize)]
pub struct MessageReply {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub role: &'static str,
    pub model: String,
    pub content: Vec<Block>,
    pub stop_reason: Option<&'static str>,
    pub stop_sequence: Option<String>,
    pub usage: Usage,
}

/// One part of an answer's content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    Thinking {
        thinking: String,
        /// Anthropic's servers prove with it that the reasoning is theirs. Ours is not proven, and is taken back without.
        signature: &'static str,
    },
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
}

/// True token counts. `input_tokens` are those that were computed; the others came from the prefix cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub input_tokens: u32,
    pub cache_creation_input_tokens: u32,
    pub cache_read_input_tokens: u32,
    pub output_tokens: u32,
}

/// One event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamEvent {
    MessageStart { message: MessageReply },
    ContentBlockStart { index: u32, content_block: Block },
    ContentBlockDelta { index: u32, delta: BlockDelta },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: MessageEnd, usage: Usage },
    MessageStop,
    Ping,
}

impl StreamEvent {
    /// The name on the event's `event:` line; the same as its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            StreamEvent::MessageStart { .. } => "message_start",
            StreamEvent::ContentBlockStart { .. } => "content_block_start",
            StreamEvent::ContentBlockDelta { .. } => "content_block_delta",
            StreamEvent::ContentBlockStop { .. } => "content_block_stop",
            StreamEvent::MessageDelta { .. } => "message_delta",
            StreamEvent::MessageStop => "message_stop",
            StreamEvent::Ping => "ping",
        }
    }
}

/// What is added to a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum BlockDelta {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
}

/// How an answer ended.
#[derive(Debug, Serialize)]
pub struct MessageEnd {
    pub stop_reason: &'static str,
    pub stop_sequence: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TokenCount {
    pub input_tokens: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReply {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub display_name: String,
    /// RFC 3339.
    pub created_at: String,
}

/// A page of models.
#[derive(Debug, PartialEq, Serialize)]
pub struct ModelPage {
    pub data: Vec<ModelReply>,
    pub has_more: bool,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
}
