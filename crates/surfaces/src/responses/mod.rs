//! OpenAI's Responses API: create, stream, get, follow, delete, cancel, and the items that a response answered.
//!
//! `types` and `input` read requests, `convert` makes the service's request of them, `reply` and `events` write what comes
//! back, `stream` frames it, `routes` are the handlers. What the caller set comes back in every reply; the service keeps it
//! unread.

mod convert;
mod events;
mod input;
mod reply;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod tools;
mod types;

pub use routes::{cancel, create, delete, get, input_items, unsupported};
