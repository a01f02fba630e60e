//! Anthropic's Messages API: messages streamed and whole, token counts, and the list of models, as the stock clients
//! speak it.
//!
//! `types` and `replies` are the wire shapes; `conversation` and `convert` read requests; `reply` writes answers;
//! `routes` are the handlers. Where the protocol leaves no honest way, the request is refused by name: images and
//! documents, tools that Anthropic's servers run, and answers begun by the client.

mod conversation;
mod convert;
mod models;
mod replies;
mod reply;
mod routes;
#[cfg(test)]
mod tests;
mod types;

use serde_json::{Value, json};
use service::{Error, ErrorKind};

pub use routes::{count_tokens, get_model, list_models, messages};
pub use types::PageQuery;

/// The header that every client of this protocol sends.
pub const VERSION_HEADER: &str = "anthropic-version";
/// The first version of the protocol that is spoken. Its predecessor framed streams in another way.
const VERSION: &str = "2023-06-01";

/// Whether `path` belongs to a part of the API that this server does not have.
pub fn is_known_elsewhere(path: &str) -> bool {
    path.starts_with("/v1/messages/batches")
}

/// The error body: `kind` is the protocol's own word. The field at fault has no place of its own, so it leads the text.
pub fn failure_body(error: &Error, kind: &str) -> Value {
    let message = match (&error.field, error.kind) {
        // Clients look for these words to shorten the conversation.
        (_, ErrorKind::ContextExceeded) => format!("prompt is too long: {}", error.message),
        (Some(field), _) if !error.message.contains(field.as_str()) => {
            format!("{field}: {}", error.message)
        }
        _ => error.message.clone(),
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}
