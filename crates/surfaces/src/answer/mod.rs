//! Answers from documents, in our own shape: `POST /fornax/v1/answer`, whole or as server-sent events.

mod convert;
mod routes;
#[cfg(test)]
mod tests;
mod types;

pub use routes::answer;
