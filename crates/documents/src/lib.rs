//! Documents to text, and text to chunks: what comes before embedding.
//!
//! [`load`] reads one input (a file, a database) and hands out [`Piece`]s of text, each with its [`Place`]; a
//! [`Chunker`] cuts a piece into [`Chunk`]s whose sizes are tokens of the embedding model. Nothing here is asynchronous
//! for its caller, knows a model, a collection or a protocol.
//!
//! What always holds:
//! 1. Input is hostile: every size, depth, count and ratio has a bound in [`Limits`], and a parser that panics becomes
//!    an error that names the place.
//! 2. A fault of one row or page is reported as an item and the rest goes on; only what makes the whole input
//!    unreadable ends it.
//! 3. Text is handed out as it is read: at most one piece, and what a parser needs for it, is in memory.
//! 4. A chunk's offsets point at the exact characters of its document part.

mod archive;
mod chunking;
mod contain;
mod decode;
mod error;
mod kind;
mod limits;
mod loaders;
mod output;
mod piece;
mod record;
mod source;

pub use chunking::{
    Chunk, Chunker, ChunkingError, ChunkingOptions, SIZE_MAX, SIZE_MIN, Strategy, TextModel,
};
pub use contain::load;
pub use error::{Error, ErrorKind};
pub use kind::Kind;
pub use limits::Limits;
pub use output::{Flow, Item, Summary};
pub use piece::{Heading, Piece, Place};
pub use record::RecordOptions;
pub use source::{LoadOptions, Source};
