//! GGUF headers: what a model is, read safely before native code maps the file.
//!
//! [`GgufHeader::read`] is called by the store before a model is registered, by the supervisor for its memory budget
//! and by the service for templates. It must never panic, never allocate by a number that the file merely claims, and
//! always say which field is wrong.

mod cursor;
mod facts;
mod parse;
#[cfg(test)]
pub(crate) mod tests;
pub mod types;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor as MemoryCursor, Read, Seek};
use std::path::Path;

pub use parse::TensorInfo;
pub use types::{TensorType, ValueType};
pub use value::{Array, Entry, Metadata, Value};

use super::error::{FileError, FileErrorKind};
use cursor::Cursor;
use parse::HEADER_BYTES_MAX;

/// What a model is made to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writes text.
    Generate,
    /// Turns text into one vector.
    Embed,
    /// Scores a document for a query.
    Rank,
}

/// How the states of all tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Not at all: one state per token.
    None,
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
    /// A ranking head over them.
    Rank,
}

/// The header of a GGUF file: everything but the tensors' data, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufHeader {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// Alignment of tensor data in bytes; a power of two.
    pub alignment: u64,
    /// Where the data section starts in the file, in bytes.
    pub data_offset: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// `general.architecture`: `llama`, `bert`, ...
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// Positions that the model was trained for, in tokens.
    pub context_length: Option<u64>,
    /// Width of the residual stream, which is also the width of embeddings.
    pub embedding_length: Option<u64>,
    /// Width of the feed-forward layers (the widest, when layers differ).
    pub feed_forward_length: Option<u64>,
    /// Number of layers.
    pub block_count: Option<u64>,
    /// Attention heads (the most, when layers differ).
    pub head_count: Option<u64>,
    /// Key/value heads per layer (the most, when layers differ); equal to `head_count` when the file is silent.
    pub head_count_kv: Option<u64>,
    /// Entries of the vocabulary.
    pub vocabulary_size: Option<u64>,
    /// Elements of all tensors together.
    pub parameter_count: u64,
    /// `Q4_K_M`, `F16`, ...: the declared file type, or the type that most elements have.
    pub quantization: String,
    /// The default chat template (Jinja).
    pub chat_template: Option<String>,
    /// Further chat templates by name (`tool_use`, `rag`), without the default.
    pub chat_templates: BTreeMap<String, String>,
    /// Kind of tokenizer: `gpt2`, `llama`, `bert`, `t5`, ...
    pub tokenizer_model: Option<String>,
    /// Pre-tokenizer: `llama-bpe`, `qwen2`, ...
    pub tokenizer_pre: Option<String>,
    /// Token that begins a sequence.
    pub bos_token_id: Option<u64>,
    /// Token that ends a sequence.
    pub eos_token_id: Option<u64>,
    /// Text of the token that begins a sequence, for templates.
    pub bos_token: Option<String>,
    /// Text of the token that ends a sequence, for templates.
    pub eos_token: Option<String>,
    /// Whether the tokenizer puts the begin token first, when the file says so.
    pub add_bos: Option<bool>,
    /// Whether the tokenizer puts the end token last, when the file says so.
    pub add_eos: Option<bool>,
    /// How token states are pooled, when the file says so.
    pub pooling_type: Option<Pooling>,
    /// Whether the file asks for embeddings of length one; `None` when it does not say.
    pub normalize: Option<bool>,
    /// `general.license`.
    pub license: Option<String>,
    /// `general.languages`.
    pub languages: Vec<String>,
    /// What the model is made to do, from its pooling and architecture.
    pub kind: Kind,
    /// All metadata in file order.
    pub metadata: Metadata,
    /// All tensors in file order.
    pub tensors: Vec<TensorInfo>,
}

impl GgufHeader {
    /// Reads the header of the file at `path`. Time and memory are bounded whatever the file holds: at most 256 MiB
    /// are walked and 64 MiB of metadata are held.
    ///
    /// # Errors
    /// [`FileError`] with the field at fault.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|error| FileError::io("file", 0, &error))?;
        let facts = file
            .metadata()
            .map_err(|error| FileError::io("file", 0, &error))?;
        if !facts.is_file() {
            let message = "not a regular file";
            return Err(FileError::new(FileErrorKind::Format, "file", 0, message));
        }
        Self::read_from(file)
    }

    /// Reads the header at the start of `bytes`, which must be the whole file.
    ///
    /// # Errors
    /// As [`GgufHeader::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        Self::read_from(MemoryCursor::new(bytes))
    }

    /// Reads the header from a reader over the whole file.
    ///
    /// # Errors
    /// As [`GgufHeader::read`].
    pub fn read_from<R: Read + Seek>(reader: R) -> Result<Self, FileError> {
        let mut cursor =
            Cursor::new(reader, HEADER_BYTES_MAX).map_err(|fault| fault.named("file"))?;
        let parsed = parse::parse(&mut cursor)?;
        facts::conclude(parsed, &mut cursor)
    }

    /// Bytes of key/value cache that one position costs, all layers together, with 16-bit elements. An upper estimate
    /// for the memory budget: layers that keep no cache (recurrent, sliding-window) are counted as if they did.
    /// Zero for encoders, which keep none.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> u64 {
        facts::kv_bytes_per_token(self)
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Text of a token, read from the same file's `reader`; `None` when the vocabulary is shorter.
    ///
    /// # Errors
    /// [`FileError`] when the file has changed since the header was read, or the text is not UTF-8.
    pub fn token_text<R: Read + Seek>(
        &self,
        reader: R,
        token: u64,
    ) -> Result<Option<String>, FileError> {
        let mut cursor =
            Cursor::new(reader, HEADER_BYTES_MAX).map_err(|fault| fault.named("file"))?;
        facts::token_text(&self.metadata, &mut cursor, token)
    }
}
