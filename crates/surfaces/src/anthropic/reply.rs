//! From generation events to Anthropic's message: in events, or whole. Both read the same events through the same
//! [`Content`], so the concatenation of the deltas is the whole answer.

use serde_json::{Value, json};
use service::{Error, FinishReason, Generation, GenerationEvent};

use super::replies::{Block, BlockDelta, MessageEnd, MessageReply, StreamEvent, Usage};
use crate::failure::{self, Surface};
use crate::streaming::{EVENT_STREAM, Framing, write_json};

/// What one answer is told with, from the request and the generation that answers it.
pub struct Head {
    id: String,
    model: String,
    /// The client's own stop sequences: a model has others, which the client did not ask about.
    stops: Vec<String>,
    /// Most output tokens.
    tokens_max: u32,
}

impl Head {
    /// The head of the answer that `generation` gives.
    pub fn of(generation: &Generation, stops: Vec<String>, tokens_max: u32) -> Self {
        Head {
            id: format!("msg_{}", generation.id),
            model: generation.model.clone(),
            stops,
            tokens_max,
        }
    }

    fn reply(&self, content: Vec<Block>, end: Option<MessageEnd>, usage: Usage) -> MessageReply {
        let (stop_reason, stop_sequence) = match end {
            Some(end) => (Some(end.stop_reason), end.stop_sequence),
            None => (None, None),
        };
        MessageReply {
            id: self.id.clone(),
            kind: "message",
            role: "assistant",
            model: self.model.clone(),
            content,
            stop_reason,
            stop_sequence,
            usage,
        }
    }

    fn end(&self, reason: FinishReason, output_tokens: u32) -> MessageEnd {
        let plain = |stop_reason| MessageEnd {
            stop_reason,
            stop_sequence: None,
        };
        match reason {
            FinishReason::ToolCalls => plain("tool_use"),
            // The context was full before the client's bound was reached.
            FinishReason::Length if output_tokens < self.tokens_max => {
                plain("model_context_window_exceeded")
            }
            FinishReason::Length => plain("max_tokens"),
            FinishReason::Stop {
                sequence: Some(sequence),
            } if self.stops.contains(&sequence) => MessageEnd {
                stop_reason: "stop_sequence",
                stop_sequence: Some(sequence),
            },
            FinishReason::Stop { .. } => plain("end_turn"),
        }
    }
}

/// Which block an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    /// The call with this index.
    Call(u32),
}

/// The blocks of an answer as they come: one is open at a time.
#[derive(Default)]
struct Content {
    open: Option<Open>,
    /// Blocks begun.
    begun: u32,
    usage: Usage,
    end: Option<MessageEnd>,
}

impl Content {
    /// What `event` does to the blocks, as the protocol's events.
    fn event(&mut self, head: &Head, event: GenerationEvent, out: &mut Vec<StreamEvent>) {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => {
                self.usage.input_tokens = prompt_tokens.saturating_sub(cached_tokens);
                self.usage.cache_read_input_tokens = cached_tokens;
                let message = head.reply(Vec::new(), None, self.usage);
                out.extend([StreamEvent::MessageStart { message }, StreamEvent::Ping]);
            }
            GenerationEvent::Text { text, .. } if text.is_empty() => {}
            GenerationEvent::Text { text, .. } => {
                self.begin(
                    Open::Text,
                    || Block::Text {
                        text: String::new(),
                    },
                    out,
                );
                self.delta(BlockDelta::Text { text }, out);
            }
            GenerationEvent::Reasoning { text, .. } => {
                let block = || Block::Thinking {
                    thinking: String::new(),
                    signature: "",
                };
                self.begin(Open::Thinking, block, out);
                self.delta(BlockDelta::Thinking { thinking: text }, out);
            }
            GenerationEvent::ToolCallStarted {
                index, id, name, ..
            } => {
                let block = || Block::ToolUse {
                    id,
                    name,
                    input: json!({}),
                };
                self.begin(Open::Call(index), block, out);
            }
            GenerationEvent::ToolCallArguments { fragment, .. } => {
                let delta = BlockDelta::InputJson {
                    partial_json: fragment,
                };
                self.delta(delta, out);
            }
            GenerationEvent::Finished {
                reason,
                output_tokens,
                ..
            } => {
                self.close(out);
                self.usage.output_tokens = output_tokens;
                self.end = Some(head.end(reason, output_tokens));
            }
        }
    }

    /// Opens a block, unless it is the one that is open.
    fn begin(&mut self, open: Open, block: impl FnOnce() -> Block, out: &mut Vec<StreamEvent>) {
        if self.open == Some(open) {
            return;
        }
        self.close(out);
        self.open = Some(open);
        out.push(StreamEvent::ContentBlockStart {
            index: self.begun,
            content_block: block(),
        });
        self.begun += 1;
    }

    fn delta(&self, delta: BlockDelta, out: &mut Vec<StreamEvent>) {
        if let Some(index) = self.begun.checked_sub(1) {
            out.push(StreamEvent::ContentBlockDelta { index, delta });
        }
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if self.open.take().is_some()
            && let Some(index) = self.begun.checked_sub(1)
        {
            out.push(StreamEvent::ContentBlockStop { index });
        }
    }
}

/// Writes a stream of events.
pub struct MessageFrames {
    head: Head,
    content: Content,
}

impl MessageFrames {
    /// For the answer that `head` begins.
    pub fn new(head: Head) -> Self {
        MessageFrames {
            head,
            content: Content::default(),
        }
    }
}

fn write_event(event: &StreamEvent, out: &mut Vec<u8>) {
    write_named(event.name(), event, out);
}

fn write_named(name: &str, value: &impl serde::Serialize, out: &mut Vec<u8>) {
    write_json(out, &format!("event: {name}\ndata: "), value, "\n\n");
}

impl Framing for MessageFrames {
    type Event = GenerationEvent;
    const CONTENT_TYPE: &'static str = EVENT_STREAM;
    const SURFACE: Surface = Surface::Anthropic;
    const SILENCE: Option<&'static [u8]> = Some(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");

    fn event(&mut self, event: GenerationEvent, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.content.event(&self.head, event, &mut events);
        for event in &events {
            write_event(event, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        // A generation that ended without saying why is the service's fault; its client must not take it for whole.
        let Some(delta) = self.content.end.take() else {
            let error = Error::new(
                service::ErrorKind::Internal,
                "the generation ended without a result",
            );
            return Self::failure(&error, out);
        };
        let usage = self.content.usage;
        write_event(&StreamEvent::MessageDelta { delta, usage }, out);
        write_event(&StreamEvent::MessageStop, out);
    }

    fn failure(error: &Error, out: &mut Vec<u8>) {
        write_named("error", &failure::body(Surface::Anthropic, error), out);
    }
}

/// Puts a whole answer together.
pub struct MessageAnswer {
    head: Head,
    content: Content,
    blocks: Vec<Block>,
    /// Arguments of the last call, until they are whole.
    arguments: String,
}

impl MessageAnswer {
    /// For the answer that `head` begins.
    pub fn new(head: Head) -> Self {
        MessageAnswer {
            head,
            content: Content::default(),
            blocks: Vec::new(),
            arguments: String::new(),
        }
    }

    /// Adds one event.
    pub fn event(&mut self, event: GenerationEvent) {
        let mut events = Vec::new();
        self.content.event(&self.head, event, &mut events);
        for event in events {
            match event {
                StreamEvent::ContentBlockStart { content_block, .. } => {
                    self.arguments.clear();
                    self.blocks.push(content_block);
                }
                StreamEvent::ContentBlockDelta { delta, .. } => self.add(delta),
                StreamEvent::ContentBlockStop { .. } => self.close(),
                _ => {}
            }
        }
    }

    fn add(&mut self, delta: BlockDelta) {
        match (self.blocks.last_mut(), delta) {
            (Some(Block::Text { text }), BlockDelta::Text { text: more }) => {
                text.push_str(&more);
            }
            (Some(Block::Thinking { thinking, .. }), BlockDelta::Thinking { thinking: more }) => {
                thinking.push_str(&more)
            }
            (Some(Block::ToolUse { .. }), BlockDelta::InputJson { partial_json }) => {
                self.arguments.push_str(&partial_json);
            }
            _ => {}
        }
    }

    /// Reads the arguments of a call that ended. One that `max_tokens` cut short is no call, and is left out.
    fn close(&mut self) {
        let Some(Block::ToolUse { input, .. }) = self.blocks.last_mut() else {
            return;
        };
        match serde_json::from_str(&self.arguments) {
            Ok(arguments @ Value::Object(_)) => *input = arguments,
            _ => drop(self.blocks.pop()),
        }
    }

    /// The reply as JSON text; `None` when the answer never ended, which is the service's fault.
    pub fn finish(self) -> Option<Vec<u8>> {
        let end = self.content.end?;
        let reply = self.head.reply(self.blocks, Some(end), self.content.usage);
        serde_json::to_vec(&reply).ok()
    }
}
