//! The converter against checkpoints made here and against llama.cpp: what it writes is read back by our parser, loaded
//! by the engine, and must compute what the checkpoint says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "files of a temporary directory need no durability"
)]

mod checkpoint;
#[cfg(feature = "llama")]
mod engine;
mod files;
#[cfg(feature = "llama")]
mod forward;
#[cfg(feature = "llama")]
mod minilm;
#[cfg(feature = "llama")]
mod parity;
mod refusals;
