//! Our own routes to put documents into collections and to search them by text.

mod convert;
mod routes;
mod types;

pub use routes::{ingest, remove, search, sources};
