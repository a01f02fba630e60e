//! From generation events to Ollama's answer: one JSON object per piece, or one for all. A call of a tool is given when it is
//! whole, since the protocol has no pieces of one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use service::{Error, FinishReason, GenerationEvent, Timing, TokenLogprob};
use tokio::time::Instant;

use super::replies::{
    AnswerReply, FunctionReply, Logprob, LogprobToken, Measures, MessageReply, Said, ToolCallReply,
};
use crate::failure::{self, Surface};
use crate::moments::rfc3339;
use crate::streaming::{Framing, write_json};

/// Which route was asked; both tell the same in their own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Chat,
    Generate,
}

/// What every piece of one answer repeats, and what its end is measured from.
pub struct Head {
    pub route: Route,
    /// Full name of the model.
    pub model: String,
    /// Seconds since 1970.
    pub now_unix: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// When the request arrived.
    pub began: Instant,
    /// How long it waited for its model.
    pub load: Duration,
}

impl Head {
    fn said(&self, piece: Piece) -> Said {
        match self.route {
            Route::Chat => Said::Chat {
                message: MessageReply {
                    role: "assistant",
                    content: piece.text,
                    thinking: piece.thinking,
                    tool_calls: piece.calls,
                },
            },
            Route::Generate => Said::Generate {
                response: piece.text,
                thinking: piece.thinking,
            },
        }
    }

    fn reply(&self, mut piece: Piece, end: Option<End>) -> AnswerReply<'_> {
        let (done_reason, measures, context) = match end {
            Some(end) => (Some(end.reason), end.measures, end.context),
            None => (None, None, None),
        };
        AnswerReply {
            model: &self.model,
            created_at: rfc3339((self.now_unix)()),
            logprobs: std::mem::take(&mut piece.logprobs),
            said: self.said(piece),
            done: done_reason.is_some(),
            done_reason,
            measures,
            context,
        }
    }

    /// The answer to a request that only loads or unloads a model.
    pub fn nothing_said(&self, reason: &'static str) -> Value {
        let end = End {
            reason,
            measures: None,
            context: None,
        };
        json!(self.reply(Piece::default(), Some(end)))
    }
}

/// An event, and with the last the tokens of the whole exchange where the route gives them back.
pub struct Step {
    pub event: GenerationEvent,
    pub context: Option<Vec<u32>>,
}

/// What is said at once.
#[derive(Default)]
struct Piece {
    text: String,
    thinking: String,
    calls: Vec<ToolCallReply>,
    logprobs: Vec<Logprob>,
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.thinking.is_empty()
            && self.calls.is_empty()
            && self.logprobs.is_empty()
    }
}

/// How an answer ended.
struct End {
    reason: &'static str,
    measures: Option<Measures>,
    context: Option<Vec<u32>>,
}

/// A call while its arguments come.
struct OpenCall {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

/// Reads events: what each adds, and how it all ends.
#[derive(Default)]
struct Reader {
    call: Option<OpenCall>,
    prompt_tokens: u32,
    end: Option<End>,
}

impl Reader {
    fn read(&mut self, head: &Head, step: Step) -> Piece {
        let mut piece = Piece::default();
        let continues = matches!(&step.event, GenerationEvent::ToolCallArguments { index, .. }
            if self.call.as_ref().is_some_and(|call| call.index == *index));
        if !continues {
            piece.calls.extend(self.call.take().and_then(whole_call));
        }
        match step.event {
            GenerationEvent::Started { prompt_tokens, .. } => self.prompt_tokens = prompt_tokens,
            GenerationEvent::Text { text, logprobs, .. } => {
                piece.text = text;
                piece.logprobs = logprobs.iter().map(logprob).collect();
            }
            GenerationEvent::Reasoning { text, .. } => piece.thinking = text,
            GenerationEvent::ToolCallStarted {
                index, id, name, ..
            } => {
                self.call = Some(OpenCall {
                    index,
                    id,
                    name,
                    arguments: String::new(),
                });
            }
            GenerationEvent::ToolCallArguments { fragment, .. } => {
                if let Some(call) = &mut self.call {
                    call.arguments.push_str(&fragment);
                }
            }
            GenerationEvent::Finished {
                reason,
                output_tokens,
                timing,
                ..
            } => {
                self.end = Some(End {
                    reason: match reason {
                        FinishReason::Length => "length",
                        FinishReason::Stop { .. } | FinishReason::ToolCalls => "stop",
                    },
                    measures: Some(self.measures(head, output_tokens, timing)),
                    context: step.context,
                });
            }
        }
        piece
    }

    fn measures(&self, head: &Head, output_tokens: u32, timing: Timing) -> Measures {
        Measures {
            total_duration: nanoseconds(head.began.elapsed()),
            load_duration: nanoseconds(head.load),
            prompt_eval_count: self.prompt_tokens,
            prompt_eval_duration: nanoseconds(timing.prefill),
            eval_count: output_tokens,
            eval_duration: nanoseconds(timing.decode),
        }
    }
}

/// The call, when its arguments are an object; one that the bound of tokens cut short is no call.
fn whole_call(call: OpenCall) -> Option<ToolCallReply> {
    match serde_json::from_str(&call.arguments) {
        Ok(Value::Object(arguments)) => Some(ToolCallReply {
            id: call.id,
            function: FunctionReply {
                index: call.index,
                name: call.name,
                arguments,
            },
        }),
        _ => None,
    }
}

/// What is written for "impossible": JSON has no infinity.
const LOGPROB_MIN: f32 = -9999.0;

fn logprob(token: &TokenLogprob) -> Logprob {
    let plain = |token: &TokenLogprob| LogprobToken {
        token: String::from_utf8_lossy(&token.bytes).into_owned(),
        logprob: token
            .logprob
            .filter(|value| value.is_finite())
            .unwrap_or(LOGPROB_MIN),
        bytes: token.bytes.clone(),
    };
    Logprob {
        token: plain(token),
        top_logprobs: token.top.iter().map(plain).collect(),
    }
}

/// A duration as the protocol writes it.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes a stream of lines.
pub struct Lines {
    head: Head,
    reader: Reader,
}

impl Lines {
    /// For the answer that `head` begins.
    pub fn new(head: Head) -> Self {
        Lines {
            head,
            reader: Reader::default(),
        }
    }
}

impl Framing for Lines {
    type Event = Step;
    const CONTENT_TYPE: &'static str = "application/x-ndjson";
    const SURFACE: Surface = Surface::Ollama;
    // A line is an answer's piece to every client, an empty one a broken piece.
    const SILENCE: Option<&'static [u8]> = None;

    fn event(&mut self, step: Step, out: &mut Vec<u8>) {
        let piece = self.reader.read(&self.head, step);
        if !piece.is_empty() {
            write_json(out, "", &self.head.reply(piece, None), "\n");
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match self.reader.end.take() {
            Some(end) => {
                let reply = self.head.reply(Piece::default(), Some(end));
                write_json(out, "", &reply, "\n");
            }
            None => Self::failure(&ended_early(), out),
        }
    }

    fn failure(error: &Error, out: &mut Vec<u8>) {
        write_json(out, "", &failure::body(Surface::Ollama, error), "\n");
    }
}

/// A generation that ended without saying why: the service's fault.
fn ended_early() -> Error {
    Error::new(
        service::ErrorKind::Internal,
        "the generation ended without a result",
    )
}

/// Puts a whole answer together.
pub struct Whole {
    head: Head,
    reader: Reader,
    said: Piece,
}

impl Whole {
    /// For the answer that `head` begins.
    pub fn new(head: Head) -> Self {
        Whole {
            head,
            reader: Reader::default(),
            said: Piece::default(),
        }
    }

    /// Adds one event.
    pub fn add(&mut self, step: Step) {
        let piece = self.reader.read(&self.head, step);
        self.said.text.push_str(&piece.text);
        self.said.thinking.push_str(&piece.thinking);
        self.said.calls.extend(piece.calls);
        self.said.logprobs.extend(piece.logprobs);
    }

    /// The reply.
    ///
    /// # Errors
    /// The answer never ended.
    pub fn finish(self) -> Result<Value, Error> {
        let end = self.reader.end.ok_or_else(ended_early)?;
        Ok(json!(self.head.reply(self.said, Some(end))))
    }
}
