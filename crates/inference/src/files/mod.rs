//! Model files: our own safe readers of GGUF and safetensors headers. Every model is read here, in bounded time and
//! memory, before native code sees it.

pub mod convert;
pub mod error;
pub mod gguf;
pub mod gguf_writer;
pub mod quantize;
pub mod safetensors;

pub use error::{FileError, FileErrorKind};
