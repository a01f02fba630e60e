//! OpenAI's files: uploaded as a form, listed, read and deleted.

mod convert;
mod routes;
mod types;

pub use routes::{content, list, remove, retrieve, upload};
