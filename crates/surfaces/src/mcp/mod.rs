//! The Model Context Protocol on `/mcp`, in both of its eras: 2026-07-28 (stateless) and 2025-03-26 to 2025-11-25
//! (`initialize` and sessions).
//!
//! A request passes the same middleware as every other: key, identity, limits. `routes` reads the body, checks what is ours
//! to check (origin, shape, whose session it is) and hands the message to `rmcp`, which speaks the protocol; `handler`
//! answers its methods. Every tool is one declaration (`declaration`) in the list of `tools`: its name, texts, schemas, the
//! action a key must be allowed, and the function that does it.
//!
//! Invariants:
//! 1. No method runs without the identity that the middleware put into the request; a tool is listed and callable only if
//!    the identity may do its action, and the service checks again.
//! 2. A session and a task belong to the key that began them; for any other key they do not exist.
//! 3. Sessions, tasks, pages and bodies are bounded. What is over a bound is refused, never dropped.
//!
//! Deliberately absent: authorisation of its own, and any capability that `service` does not have.

mod changes;
mod completions;
mod convert;
mod declaration;
mod endpoint;
mod fixtures;
mod handler;
mod messages;
mod pages;
mod prompts;
mod reporter;
mod resources;
mod routes;
mod sessions;
mod subscriptions;
mod tasks;
#[cfg(test)]
mod tests;
mod tools;
mod types;

pub use convert::failure_body;
pub use endpoint::Endpoint;
pub use routes::{listen, receive, terminate};
