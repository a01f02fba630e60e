//! Reranking in the shapes of three servers: Jina's and Cohere's, which agree enough to be one, and TEI's.
//!
//! `types` are the wire shapes, `convert` reads and writes them, `routes` are the handlers. Cohere's fields and Jina's
//! that the other lacks are both in the reply; clients of either read what they know.

mod convert;
mod routes;
#[cfg(test)]
mod tests;
mod types;

pub use routes::{rerank, rerank_tei, rerank_v2};
