//! The OpenAI API: models, chat completions, completions and embeddings, as the stock clients speak it.
//!
//! `types` and `replies` are the wire shapes; `fields`, `settings`, `prompts` and `convert` read requests; `chat_reply`,
//! `completion_reply`, `reply` and `stream` write answers; `routes` are the handlers.

mod chat_reply;
mod completion_reply;
mod convert;
pub(crate) mod fields;
mod prompts;
mod replies;
pub(crate) mod reply;
mod routes;
pub(crate) mod settings;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod types;

pub use routes::{
    OpenAiFailure, chat, complete, embed, get_model, is_known_elsewhere, list_models, stored,
};
