//! Chat templates: from a conversation to the exact text a model was trained on, and from the text it writes back to
//! content, reasoning and tool calls.
//!
//! A model file carries its template as Jinja source written for Hugging Face's Python renderer. [`ChatTemplate`]
//! compiles it once and renders it under bounds; [`ToolFormat`] tells how the model family writes tool calls, gives
//! the grammar that keeps those calls well formed, and [`OutputParser`] reads them out of the streamed text.
//!
//! What must always hold:
//!  1. A template is outside input: it never panics, and its instructions and output are bounded.
//!  2. Nothing is added to or dropped from a conversation silently: what a template refuses is an error with the
//!     template's own words, and what is rewritten (`developer` to `system`, tools described in a system message for
//!     templates that know none) is listed at [`ChatTemplate::render`].
//!  3. Any way of cutting the generated text into pieces gives the same events.

mod conversation;
mod fallback;
mod grammar;
mod parser;
mod pattern;
mod render;
mod syntax;
#[cfg(test)]
mod tests;

pub use conversation::{Conversation, ConversationMessage, ToolDefinition, ToolInvocation};
pub(crate) use grammar::bounded_whitespace;
pub use grammar::{Answer, CallRule, GrammarRequest, ReasoningPrefix, output_grammar};
pub use parser::{OutputEvent, OutputParser, ParserOptions};
pub use render::{ChatTemplate, Rendered, TemplateError, TemplateSource};
pub use syntax::{ReasoningMarks, ToolFormat};
