//! Plain types of the use cases: what a caller asks and what it gets, in our own words. No protocol's field names,
//! no JSON: each surface converts to and from these.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;

/// Who wrote a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// Instructions of the developer; templates without this role read it as `System`.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn of a conversation. Content is text only; surfaces refuse other parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Its text; empty for an assistant turn that only calls tools.
    pub content: String,
    /// Name of the participant or tool, when given.
    pub name: Option<String>,
    /// Reasoning that the assistant wrote before its answer, when the caller sends it back.
    pub reasoning: Option<String>,
    /// Calls the assistant made in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// For `Role::Tool`: the call that this answers.
    pub tool_call_id: Option<String>,
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Unique in the conversation.
    pub id: String,
    /// Tool name.
    pub name: String,
    /// Arguments as the model wrote them: JSON text.
    pub arguments: String,
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Name: letters, digits, `_`, `-`, at most 64.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// Constrain the arguments to the schema exactly.
    pub strict: bool,
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No call.
    None,
    /// At least one call of any tool.
    Required,
    /// A call of this tool.
    Named(String),
    /// Any of these, and at least one if `required`.
    Allowed {
        /// Names that may be called.
        names: Vec<String>,
        /// Whether one must be.
        required: bool,
    },
}

/// The shape the text must have.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OutputFormat {
    /// Anything.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON valid under this schema.
    JsonSchema(Value),
    /// Text matching a regular expression.
    Regex(String),
    /// Text matching a grammar in llguidance's Lark dialect.
    Lark(String),
}

/// How the next token is chosen. `None` means the model's own default, then the product's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingOptions {
    /// 0 is greedy; default 1.
    pub temperature: Option<f32>,
    /// Nucleus; default 1.
    pub top_p: Option<f32>,
    /// Keep the k best; 0 is off.
    pub top_k: Option<u32>,
    /// Keep tokens at least this fraction as likely as the best.
    pub min_p: Option<f32>,
    /// Keep the tokens whose surprise is nearest to what is expected, up to this probability; 1 is off.
    pub typical_p: Option<f32>,
    /// Divides (multiplies) the logit of tokens seen lately; 1 is off.
    pub repeat_penalty: Option<f32>,
    /// How many tokens of prompt and output `repeat_penalty` looks back on; 0 is none.
    pub repeat_last: Option<u32>,
    /// Subtracted once from every token already generated; -2 to 2.
    pub presence_penalty: Option<f32>,
    /// Subtracted per occurrence; -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// Same seed, same request, same model: same text.
    pub seed: Option<u64>,
    /// Added to the logit of a token id, -100 to 100.
    pub logit_bias: BTreeMap<u32, f32>,
}

/// What may be preempted for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkClass {
    /// Somebody waits.
    #[default]
    Interactive,
    /// Nobody waits: yields to interactive work.
    Batch,
}

/// Everything about a generation but its prompt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerateOptions {
    /// Number of answers from one prompt (`n`); 0 reads as 1.
    pub choices: u32,
    /// Most output tokens per answer; none: until the context is full.
    pub tokens_max: Option<u32>,
    /// Fewest output tokens before an end token is allowed.
    pub tokens_min: u32,
    /// Stop strings, not part of the output.
    pub stop: Vec<String>,
    /// Stop tokens.
    pub stop_tokens: Vec<u32>,
    /// Go on after the end token.
    pub ignore_end: bool,
    /// How tokens are chosen.
    pub sampling: SamplingOptions,
    /// Log-probabilities of the chosen token and this many alternatives (0 to 20).
    pub logprobs: Option<u32>,
    /// Tokens of an earlier exchange, put before the prompt of a chat as they are.
    pub prefix_tokens: Vec<u32>,
    /// Extra separation of the prefix cache, beside the tenant.
    pub cache_salt: Option<String>,
    /// Whether somebody waits.
    pub class: WorkClass,
    /// Give up after this long.
    pub deadline: Option<Duration>,
    /// How long the model stays loaded after this request; overrides the server's.
    pub keep_alive: Option<Duration>,
    /// Compute even when the result is known, and do not keep it.
    pub fresh: bool,
}

/// A chat turn to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Model name.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Tools that may be called.
    pub tools: Vec<Tool>,
    /// Which of them.
    pub tool_choice: ToolChoice,
    /// More than one call in a turn is welcome.
    pub parallel_tool_calls: bool,
    /// Shape of the answer's text.
    pub output: OutputFormat,
    /// Extra variables of the chat template (`enable_thinking`).
    pub template_variables: serde_json::Map<String, Value>,
    /// The rest.
    pub options: GenerateOptions,
}

/// A prompt without a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text, tokenised with the model's begin token.
    Text(String),
    /// Token ids, taken as they are.
    Tokens(Vec<u32>),
}

/// A raw completion.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// Model name.
    pub model: String,
    /// What to continue.
    pub prompt: Prompt,
    /// Also give the prompt's own text (and log-probabilities, when asked) back.
    pub echo: bool,
    /// Shape of the output.
    pub output: OutputFormat,
    /// The rest. `tokens_max` of 0 is allowed: only the prompt is evaluated.
    pub options: GenerateOptions,
}

/// Log-probability of one token and of its best alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Vocabulary index.
    pub token: u32,
    /// Its bytes; not always whole UTF-8.
    pub bytes: Vec<u8>,
    /// Natural logarithm; `None` for the first prompt token.
    pub logprob: Option<f32>,
    /// Alternatives, best first; their `top` is empty.
    pub top: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended, or a stop string matched (given).
    Stop {
        /// The stop string that matched.
        sequence: Option<String>,
    },
    /// `tokens_max` or the context was reached.
    Length,
    /// The model called tools.
    ToolCalls,
}

/// One step of a generation. For each choice, the concatenation of its text events is the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GenerationEvent {
    /// First, once.
    Started {
        /// Tokens of the prompt, template included.
        prompt_tokens: u32,
        /// Of those, taken from the prefix cache.
        cached_tokens: u32,
        /// With `echo` and `logprobs`: the prompt's tokens.
        prompt_logprobs: Vec<TokenLogprob>,
        /// With `echo`: the prompt's text.
        prompt_text: Option<String>,
    },
    /// Text of the answer: whole UTF-8 characters, never a part of a stop string or of a tool call.
    Text {
        /// Which answer.
        choice: u32,
        /// What was added.
        text: String,
        /// Of the tokens behind it, when asked.
        logprobs: Vec<TokenLogprob>,
    },
    /// Text of the model's reasoning, where its template marks it.
    Reasoning {
        /// Which answer.
        choice: u32,
        /// What was added.
        text: String,
    },
    /// A tool call begins.
    ToolCallStarted {
        /// Which answer.
        choice: u32,
        /// Which call of this answer, from 0.
        index: u32,
        /// Its id.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments (JSON text, to be concatenated).
    ToolCallArguments {
        /// Which answer.
        choice: u32,
        /// Which call.
        index: u32,
        /// What was added.
        fragment: String,
    },
    /// Last for this choice.
    Finished {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// Tokens generated for it, the end token included when there was one.
        output_tokens: u32,
        /// Where its time went.
        #[serde(default)]
        timing: Timing,
    },
}

/// Where the time of one answer went, as the process that runs the model measured it. All zero for an answer that was
/// kept and not computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// From the start of the prompt's evaluation to its end.
    pub prefill: Duration,
    /// From there to the last token.
    pub decode: Duration,
}

/// A running generation. Dropping it cancels the work within one step of the model.
pub struct Generation {
    /// Unique id, without a protocol's prefix.
    pub id: String,
    /// The model that answers, by its full name.
    pub model: String,
    /// Digest of the weights, short form, without a protocol's prefix.
    pub fingerprint: String,
    /// How long the request waited for its model to be in memory.
    pub load: Duration,
    /// The steps; ends after the last `Finished`, or with one error.
    pub events: Pin<Box<dyn Stream<Item = Result<GenerationEvent>> + Send>>,
}

/// Texts to embed.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// Model name.
    pub model: String,
    /// What to embed, in order.
    pub inputs: Vec<Prompt>,
    /// Cut to this many dimensions and normalise again.
    pub dimensions: Option<u32>,
    /// Cut inputs that are too long instead of refusing them.
    pub truncate: bool,
    /// How long the model stays loaded after this request.
    pub keep_alive: Option<Duration>,
    /// Compute even what is known, and do not keep it.
    pub fresh: bool,
}

/// Vectors, in the order of the inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// The model that made them, by its full name.
    pub model: String,
    /// Length of each vector.
    pub dimensions: u32,
    /// `inputs × dimensions`, row after row.
    pub vectors: Vec<f32>,
    /// Tokens read.
    pub prompt_tokens: u32,
    /// How long the request waited for its model to be in memory; zero when all vectors were known.
    pub load: Duration,
}
