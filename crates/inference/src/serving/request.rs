//! What goes into the serving loop and what comes out of it, in plain types.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::grammar::Grammar;
use super::prefix::Salt;
use super::sampler::SamplerOptions;
use crate::engine::Token;

/// Text or tokens of a prompt or an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Text, tokenized by the engine's own tokenizer.
    Text(String),
    /// Tokens, taken as they are.
    Tokens(Vec<Token>),
}

/// One request for text: one prompt and one or more choices.
pub struct GenerateJob {
    /// The prompt.
    pub prompt: Input,
    /// Begin and end tokens are added to a text prompt as the tokenizer says.
    pub add_special: bool,
    /// Written special tokens of a text prompt are read as tokens.
    pub parse_special: bool,
    /// Whose cached prefixes may serve this prompt, and who may be served by it; its tenant is also the one of fair shares.
    pub salt: Salt,
    /// Fair-share weight of the tenant; 0 means 1.
    pub weight: u32,
    /// Yields its place to interactive requests.
    pub class: scheduling::Class,
    /// Output tokens of each choice; `None`: until the context is full.
    pub tokens_max: Option<u32>,
    /// Stop strings.
    pub stop: Vec<String>,
    /// Tokens that end the output like the model's own end.
    pub stop_tokens: Vec<Token>,
    /// How tokens are chosen; choice `i` uses seed + `i`.
    pub sampling: SamplerOptions,
    /// What the output must match, already compiled (compiling takes time that streams must not wait for).
    pub grammar: Option<Grammar>,
    /// Alternatives to report per output token; `None`: no log-probabilities.
    pub logprobs: Option<u32>,
    /// Also log-probabilities of the prompt's tokens (computed whole: no cached prefix is used).
    pub echo_logprobs: bool,
    /// Time from submission after which the request fails, wherever it stands.
    pub deadline: Option<Duration>,
    /// Choices sampled from one prompt; 0 means 1.
    pub choices: u32,
    /// Bytes of control tokens are part of the text.
    pub emit_special: bool,
    /// Where events go. Closing the receiving end cancels the request within one step. When the channel is full,
    /// this request pauses and no other.
    pub events: mpsc::Sender<Event>,
}

/// What a request hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Once, first: the prompt is measured and its computation begins (with `echo_logprobs`: has ended).
    Accepted(Accepted),
    /// More text of a choice: whole characters, never at or past a stop string.
    Text(Piece),
    /// Once per choice, with the last text.
    Finished(Piece, Finish),
    /// Ends the request with all its choices.
    Failed(Failure),
}

/// Text of one choice with the log-probabilities of the tokens behind it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Index of the choice.
    pub choice: u32,
    /// The text; empty when only log-probabilities or an end are told.
    pub text: String,
    /// Log-probabilities of the tokens whose text ends within what has been told, when asked.
    pub logprobs: Vec<TokenLogprob>,
}

/// Log-probability of one token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: Token,
    /// Its bytes, not always whole UTF-8.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability; NaN for the first token of a prompt.
    pub logprob: f32,
    /// The most likely tokens at this place, best first.
    pub top: Vec<(Token, Vec<u8>, f32)>,
}

/// Facts about a prompt whose computation begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accepted {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of those, taken from the cache.
    pub cached_tokens: u32,
    /// Time from submission to the start of the computation.
    pub queued: Duration,
    /// Log-probabilities of the prompt's tokens, when asked.
    pub prompt: Vec<TokenLogprob>,
}

/// Why a choice ended, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Why.
    pub reason: FinishReason,
    /// The stop string that matched, if one did.
    pub stop_sequence: Option<String>,
    /// Output tokens, the end token included.
    pub output_tokens: u32,
    /// Time from the start of the computation to the first token.
    pub prefill: Duration,
    /// Time from the first token to the last.
    pub decode: Duration,
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended, a stop string or a stop token came, or the grammar was complete.
    Stop,
    /// The token limit or the context is reached.
    Length,
}

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Correct the request.
    Invalid,
    /// Shorten the prompt.
    ContextExceeded,
    /// Ask for less at a time: the cache cannot hold this request.
    CacheFull,
    /// Come back later.
    Overloaded,
    /// The time that the caller gave is over.
    Deadline,
    /// Ended by the runner's own end.
    Cancelled,
    /// The model cannot do this.
    Unsupported,
    /// The engine failed.
    Engine,
}

/// A request that could not be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The remedy.
    pub kind: FailureKind,
    /// What happened, in words.
    pub message: String,
    /// The request's field at fault, if one is.
    pub field: String,
    /// Tokens that were too many.
    pub actual: u64,
    /// Tokens that fit.
    pub limit: u64,
    /// When to come back, for [`FailureKind::Overloaded`].
    pub retry_after: Duration,
}

impl Failure {
    /// A failure with nothing but a message.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            field: String::new(),
            actual: 0,
            limit: 0,
            retry_after: Duration::ZERO,
        }
    }

    /// An invalid field.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            ..Self::new(FailureKind::Invalid, message)
        }
    }

    /// More tokens than fit.
    #[must_use]
    pub fn context_exceeded(field: &str, actual: usize, limit: usize) -> Self {
        Self {
            field: field.to_owned(),
            actual: actual as u64,
            limit: limit as u64,
            ..Self::new(
                FailureKind::ContextExceeded,
                format!("{actual} tokens do not fit in the {limit} that this model is served with"),
            )
        }
    }

    /// Too much to do; come back after `retry_after`.
    #[must_use]
    pub fn overloaded(message: &str, retry_after: Duration) -> Self {
        Self {
            retry_after,
            ..Self::new(FailureKind::Overloaded, message)
        }
    }
}

/// Texts to embed.
pub struct EmbedJob {
    /// The inputs.
    pub inputs: Vec<Input>,
    /// Scale each vector to length 1.
    pub normalize: bool,
    /// Cut inputs that are too long, instead of failing.
    pub truncate: bool,
    /// Where the answer goes; closing it cancels.
    pub reply: oneshot::Sender<Result<Embedded, Failure>>,
}

/// Vectors of an [`EmbedJob`], in input order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// One vector per input.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens per input.
    pub tokens: Vec<u32>,
}

/// Documents to score against a query.
pub struct RerankJob {
    /// The query.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
    /// Where the answer goes; closing it cancels.
    pub reply: oneshot::Sender<Result<Reranked, Failure>>,
}

/// Scores of a [`RerankJob`].
#[derive(Debug, Clone, PartialEq)]
pub struct Reranked {
    /// One per document; higher is better.
    pub scores: Vec<f32>,
    /// Tokens of all pairs together.
    pub tokens: u32,
}

/// Counters and gauges of one serving loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Choices under way, computing or waiting for a slow reader.
    pub running: u32,
    /// Choices and embedding requests that wait.
    pub waiting: u32,
    /// Most choices at a time.
    pub running_max: u32,
    /// Cells in use, cached prefixes included.
    pub cells_used: u64,
    /// Cells there are.
    pub cells: u64,
    /// Prompt tokens looked up in the prefix index.
    pub prefix_queries_tokens: u64,
    /// Of those, found.
    pub prefix_hits_tokens: u64,
    /// Choices that were put back into the queue.
    pub preemptions: u64,
    /// Prompt tokens computed or found.
    pub prompt_tokens: u64,
    /// Tokens sampled.
    pub output_tokens: u64,
    /// Batches computed.
    pub steps: u64,
    /// Cached prefixes given up.
    pub evictions: u64,
    /// Time inside the engine.
    pub busy: Duration,
}

/// What other threads ask of the engine's thread.
pub enum Command {
    /// Generate text.
    Generate(Box<GenerateJob>),
    /// Embed texts.
    Embed(EmbedJob),
    /// Score documents.
    Rerank(RerankJob),
    /// Tokens of a text.
    Tokenize {
        /// The text.
        text: String,
        /// Add begin and end tokens.
        add_special: bool,
        /// Read written special tokens.
        parse_special: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<Token>, Failure>>,
    },
    /// Bytes of tokens.
    Detokenize {
        /// The tokens.
        tokens: Vec<Token>,
        /// Control tokens have bytes.
        special: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<u8>, Failure>>,
    },
    /// Counters.
    Stats {
        /// Where the answer goes.
        reply: oneshot::Sender<Stats>,
    },
    /// Take no more requests, end what runs within the time given, then stop.
    Drain {
        /// Time for what runs.
        within: Duration,
        /// Told when nothing runs any more.
        reply: oneshot::Sender<()>,
    },
}

/// How a loop is run. Every number is a bound or a target; none changes what is computed.
#[derive(Debug, Clone)]
pub struct ServingOptions {
    /// Most choices under way at a time; bounded by the engine's sequences.
    pub running_max: u32,
    /// Most requests that wait, and most embedding requests that wait.
    pub queue_max: u32,
    /// Target time of a step while a stream is decoding.
    pub step_budget: Duration,
    /// Most cells that only cached prefixes hold. A processor looks at the mask of every used cell for every token it
    /// computes, so there a large memory of prefixes costs every stream; an accelerator skips them.
    pub retained_cells_max: u32,
    /// Most bytes of ordinary memory for prefixes that left the cache; 0: they are forgotten.
    pub shelf_bytes_max: u64,
}

impl Default for ServingOptions {
    fn default() -> Self {
        Self {
            running_max: 16,
            queue_max: 256,
            // A reader sees text stutter from about a fifth of a second on.
            step_budget: Duration::from_millis(150),
            retained_cells_max: u32::MAX,
            shelf_bytes_max: 0,
        }
    }
}
