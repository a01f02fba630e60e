//! Plain types of responses: what is asked, what is written, what is kept. They are also what lies in the database, as
//! JSON, so fields are added with a default and never renamed.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answering::{Passage, Retrieval};
use crate::error::Result;
use crate::types::{GenerateOptions, OutputFormat, Role, TokenLogprob, Tool, ToolChoice};

/// A turn to answer, with everything that may come before it.
#[derive(Debug, Clone)]
pub struct ResponseRequest {
    /// Model name.
    pub model: String,
    /// What is new in this turn, oldest first.
    pub input: Vec<Item>,
    /// Said to the model before everything else; not carried over to the next turn.
    pub instructions: Option<String>,
    /// The response that this one continues.
    pub previous: Option<String>,
    /// Functions the model may call.
    pub tools: Vec<Tool>,
    /// Documents to look into before the model writes.
    pub search: Option<Retrieval>,
    /// Which functions may or must be called.
    pub tool_choice: ToolChoice,
    /// More than one call in a turn is welcome.
    pub parallel_tool_calls: bool,
    /// Shape of the text.
    pub output: OutputFormat,
    /// Extra variables of the chat template.
    pub template_variables: serde_json::Map<String, Value>,
    /// How to generate; one choice only.
    pub options: GenerateOptions,
    /// What happens to a conversation that does not fit.
    pub truncation: Truncation,
    /// Keep the response, so that it can be read and continued later.
    pub store: bool,
    /// Answer at once and write later.
    pub background: bool,
    /// Whatever the caller wants to find beside the response.
    pub metadata: BTreeMap<String, String>,
    /// The caller's own settings, kept and given back unread.
    pub settings: Value,
}

/// What happens to a conversation that does not fit the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncation {
    /// It is refused.
    #[default]
    Refuse,
    /// Its oldest turns are left out until it fits; instructions stay.
    DropOldest,
}

/// One thing said or done in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Unique; empty until the item is taken in.
    pub id: String,
    /// How far it is.
    pub state: ItemState,
    /// What it is.
    pub body: ItemBody,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// It is being written.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut off.
    Incomplete,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemBody {
    /// Somebody's words.
    Message {
        /// Whose.
        role: SpeakerRole,
        /// The words, in parts.
        parts: Vec<TextPart>,
    },
    /// What the model thought before it spoke.
    Reasoning {
        /// The thoughts.
        text: String,
    },
    /// The model calls a function of the caller's.
    FunctionCall {
        /// Names the call in its output.
        call_id: String,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// What the function gave.
    FunctionCallOutput {
        /// The call.
        call_id: String,
        /// Its output, as text.
        output: String,
    },
    /// Documents were searched.
    Search {
        /// For what.
        queries: Vec<String>,
        /// What was found and shown to the model, in the order of its numbers.
        passages: Vec<Passage>,
    },
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeakerRole {
    /// The application.
    System,
    /// The developer.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl From<SpeakerRole> for Role {
    fn from(role: SpeakerRole) -> Self {
        match role {
            SpeakerRole::System => Role::System,
            SpeakerRole::Developer => Role::Developer,
            SpeakerRole::User => Role::User,
            SpeakerRole::Assistant => Role::Assistant,
        }
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TextPart {
    /// The text.
    pub text: String,
    /// Marks in it that name a passage.
    #[serde(default)]
    pub citations: Vec<Citation>,
    /// Of its tokens, when asked for.
    #[serde(default)]
    pub logprobs: Vec<TokenLogprob>,
    /// The model says that it will not answer.
    #[serde(default)]
    pub refusal: bool,
}

impl TextPart {
    /// A part that is text only.
    pub fn plain(text: impl Into<String>) -> Self {
        TextPart {
            text: text.into(),
            ..TextPart::default()
        }
    }
}

/// A mark `[n]` that the model wrote, and what it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// Which passage, from 0.
    pub passage: usize,
    /// Id of the passage's file; empty when it came from no file.
    pub file_id: String,
    /// Name of the passage's source.
    pub source: String,
    /// Where the mark begins in the text, in characters.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseState {
    /// Nobody writes it yet.
    Queued,
    /// It is being written.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut off at a bound of tokens.
    Incomplete,
    /// It went wrong.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl ResponseState {
    /// Nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, ResponseState::Queued | ResponseState::InProgress)
    }
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResponseUsage {
    /// Of the prompt.
    pub input_tokens: u64,
    /// Of those, taken from the prefix cache.
    pub cached_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Of those, reasoning: the reasoning's text counted by the model's tokenizer.
    pub reasoning_tokens: u64,
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFailure {
    /// An error kind's name, or a finer code.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// A response as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Unique.
    pub id: String,
    /// Seconds since 1970.
    pub created_unix: u64,
    /// When it became final.
    #[serde(default)]
    pub ended_unix: Option<u64>,
    /// The model, by its full name once it is known.
    pub model: String,
    /// How far it is.
    pub state: ResponseState,
    /// It is written whether or not somebody waits.
    pub background: bool,
    /// It is kept.
    pub stored: bool,
    /// What it continues.
    #[serde(default)]
    pub previous: Option<String>,
    /// What was said to the model before everything else.
    #[serde(default)]
    pub instructions: Option<String>,
    /// The caller's notes.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The caller's settings, unread.
    #[serde(default)]
    pub settings: Value,
    /// What was written.
    #[serde(default)]
    pub output: Vec<Item>,
    /// Once it is final.
    #[serde(default)]
    pub usage: Option<ResponseUsage>,
    /// For [`ResponseState::Failed`].
    #[serde(default)]
    pub failure: Option<ResponseFailure>,
}

/// One step of a response. Each carries everything that a protocol says about it.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseEvent {
    /// First, once.
    Created(Box<Response>),
    /// It waits for its turn.
    Queued(Box<Response>),
    /// It is being written from now on.
    InProgress(Box<Response>),
    /// A new item of the output.
    ItemStarted {
        /// Its place in the output.
        output: usize,
        /// As it is when it begins.
        item: Item,
    },
    /// Something happens in the item that is being written.
    Within {
        /// The item's place in the output.
        output: usize,
        /// The item.
        item_id: String,
        /// What happens.
        event: ItemEvent,
    },
    /// An item is whole, or was cut off.
    ItemEnded {
        /// Its place.
        output: usize,
        /// As it stays.
        item: Item,
    },
    /// Last: completed, incomplete, failed or cancelled.
    Ended(Box<Response>),
}

/// One step of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemEvent {
    /// A search of documents goes on.
    Searched(SearchStep),
    /// A part of a message or of reasoning begins.
    PartStarted(PartKind),
    /// More text of a message.
    TextAdded {
        /// What was added.
        text: String,
        /// Of the tokens behind it.
        logprobs: Vec<TokenLogprob>,
    },
    /// The text names a passage.
    Cited {
        /// Which of the text's citations, from 0.
        index: usize,
        /// What it names.
        citation: Citation,
    },
    /// The text of a message is whole.
    TextEnded(TextPart),
    /// More of the reasoning.
    ReasoningAdded(String),
    /// The reasoning is whole.
    ReasoningEnded(String),
    /// A part is whole.
    PartEnded(PartKind),
    /// More of a call's arguments.
    ArgumentsAdded(String),
    /// A call's arguments are whole.
    ArgumentsEnded {
        /// The function.
        name: String,
        /// The whole.
        arguments: String,
    },
}

/// What a part belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// A message.
    Text(TextPart),
    /// Reasoning.
    Reasoning(String),
}

/// What a search does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchStep {
    /// It begins.
    Begun,
    /// It reads.
    Searching,
    /// It is done.
    Completed,
}

/// An event with its number, from 0, the same for everybody who follows the response.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedEvent {
    /// The number.
    pub sequence: u64,
    /// The event.
    pub event: ResponseEvent,
}

/// Events as they come; ends after [`ResponseEvent::Ended`], or with one error when nothing more can be told.
pub type ResponseEvents = Pin<Box<dyn Stream<Item = Result<NumberedEvent>> + Send>>;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    /// After the item of this id.
    pub after: Option<String>,
    /// Most items.
    pub limit: usize,
    /// Oldest first.
    pub ascending: bool,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    /// The items.
    pub items: Vec<Item>,
    /// There are more behind these.
    pub has_more: bool,
}
