//! What vector stores are, and how they are asked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
pub use crate::records::{Attachment, AttachmentState, FileCounts};
use crate::vector_stores::filters::AttributeFilter;

/// Most vector stores of one tenant.
pub const VECTOR_STORES_MAX: u64 = 10_000;
/// Most files in one vector store; OpenAI's bound.
pub const STORE_FILES_MAX: u64 = 10_000;
/// Most files in one batch; OpenAI's bound.
pub const BATCH_FILES_MAX: usize = 2_000;
/// Most items in one page of a list.
pub const STORES_PAGE_MAX: u32 = 100;
/// Most results of one search.
pub const RESULTS_MAX: usize = 50;
/// Most queries of one search; each is searched by meaning and by words.
pub const QUERIES_MAX: usize = 16;
/// Longest life of a vector store after its last use, in days.
pub const EXPIRES_DAYS_MAX: u32 = 365;
/// Most keys of metadata or attributes; OpenAI's bound, as are the next two.
pub const KEYS_MAX: usize = 16;
/// Longest key, in characters.
pub const KEY_CHARACTERS_MAX: usize = 64;
/// Longest text of a value, in characters.
pub const VALUE_CHARACTERS_MAX: usize = 512;
/// Longest name and description, in characters.
const NAME_CHARACTERS_MAX: usize = 512;
/// Bounds of chunks, in tokens; OpenAI's.
pub const CHUNK_TOKENS_MIN: u32 = 100;
/// As [`CHUNK_TOKENS_MIN`].
pub const CHUNK_TOKENS_MAX: u32 = 4_096;
/// What `auto` asks for, as OpenAI documents it: 800 tokens, of which 400 repeat those before.
pub const AUTO_CHUNK_TOKENS: u32 = 800;

/// How vector stores work.
#[derive(Debug, Clone)]
pub struct VectorStoreOptions {
    /// The model that makes the vectors of new vector stores.
    pub embedding_model: String,
    /// Files that are worked on at once.
    pub workers: usize,
}

impl VectorStoreOptions {
    /// Two workers: one loads and cuts while the other's texts are embedded.
    pub fn new(embedding_model: impl Into<String>) -> Self {
        VectorStoreOptions {
            embedding_model: embedding_model.into(),
            workers: 2,
        }
    }
}

/// A vector store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorStore {
    /// `vs_` and 24 letters and digits; also the collection's name.
    pub id: String,
    /// What its owner calls it; may be empty.
    pub name: String,
    /// What its owner says about it.
    pub description: Option<String>,
    /// Facts of its owner.
    pub metadata: BTreeMap<String, String>,
    /// The model that makes its vectors.
    pub model: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last used, in seconds since 1970; give or take a minute.
    pub last_active_unix: i64,
    /// Its life after its last use.
    pub expires_after_days: Option<u32>,
    /// When that ends, in seconds since 1970.
    pub expires_unix: Option<i64>,
    /// Its life is over: it holds nothing and takes nothing.
    pub expired: bool,
    /// Its files by state, and what they take.
    pub counts: FileCounts,
}

/// A vector store to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewVectorStore {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Facts.
    pub metadata: BTreeMap<String, String>,
    /// Its life after its last use; `None`: for ever.
    pub expires_after_days: Option<u32>,
    /// Files to put into it.
    pub files: Vec<NewStoreFile>,
}

/// What changes about a vector store; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VectorStoreChange {
    /// Its name.
    pub name: Option<String>,
    /// Facts, all of them.
    pub metadata: Option<BTreeMap<String, String>>,
    /// `Some(None)`: it lives for ever.
    pub expires_after_days: Option<Option<u32>>,
}

/// A file to put into a vector store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewStoreFile {
    /// Which file.
    pub file_id: String,
    /// Facts about it, for filters: texts, numbers and truths.
    pub attributes: Map<String, Value>,
    /// How it is cut.
    pub chunking: Chunking,
}

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunking {
    /// As OpenAI does it, as far as the model reads so much at once.
    #[default]
    Auto,
    /// Chunks of so many tokens. More than the model reads at once are cut down to that, and the file says so.
    Static {
        /// [`CHUNK_TOKENS_MIN`] to [`CHUNK_TOKENS_MAX`].
        tokens: u32,
        /// At most half of them.
        overlap: u32,
    },
}

/// Files that were put into a vector store together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBatch {
    /// `vsfb_` and 24 letters and digits.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Its files by state.
    pub counts: FileCounts,
    /// Somebody ended it early.
    pub cancelled: bool,
}

impl FileBatch {
    /// How far it is: in the words of a file's state, by its files.
    pub fn state(&self) -> AttachmentState {
        if self.counts.in_progress > 0 {
            AttachmentState::InProgress
        } else if self.cancelled {
            AttachmentState::Cancelled
        } else if self.counts.failed > 0 && self.counts.failed == self.counts.total() {
            AttachmentState::Failed
        } else {
            AttachmentState::Completed
        }
    }
}

/// A search of a vector store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSearch {
    /// What is searched for; results near to any of them are found.
    pub queries: Vec<String>,
    /// Which files may be found.
    pub filter: Option<AttributeFilter>,
    /// Most results, 1 to [`RESULTS_MAX`].
    pub limit: usize,
    /// How results are ranked.
    pub ranking: Ranking,
    /// Worst score of a result, 0 to 1.
    pub score_threshold: f32,
}

/// How results are ranked and scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ranking {
    /// By meaning only: the score is the cosine similarity, negative ones as 0.
    Meaning,
    /// By meaning and by words (BM25), the two lists fused by reciprocal ranks. The score is the share of what a result that
    /// leads every list gets: 1 for that one, and about half for one that only one list has in front.
    Hybrid {
        /// Weight of meaning, at least 0.
        meaning: f32,
        /// Weight of words, at least 0.
        words: f32,
    },
}

impl Default for Ranking {
    fn default() -> Self {
        Ranking::Hybrid {
            meaning: 1.0,
            words: 1.0,
        }
    }
}

/// A chunk that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreHit {
    /// Of which file.
    pub file_id: String,
    /// The file's name.
    pub filename: String,
    /// What is said about the file.
    pub attributes: Map<String, Value>,
    /// The chunk's place in the file, from 0.
    pub chunk: u64,
    /// Its text.
    pub text: String,
    /// 0 to 1; see [`Ranking`].
    pub score: f32,
}

/// Checks a name.
pub(super) fn check_name(field: &str, name: &str) -> Result<()> {
    if name.chars().count() > NAME_CHARACTERS_MAX {
        let message = format!("`{field}` has at most {NAME_CHARACTERS_MAX} characters.");
        return Err(Error::invalid(field, message));
    }
    if name.contains('\0') {
        return Err(Error::invalid(
            field,
            format!("`{field}` may not hold a zero."),
        ));
    }
    Ok(())
}

/// Checks a life after the last use.
pub(super) fn check_days(days: Option<u32>) -> Result<()> {
    match days {
        Some(days) if !(1..=EXPIRES_DAYS_MAX).contains(&days) => {
            let message =
                format!("`expires_after.days` must lie between 1 and {EXPIRES_DAYS_MAX}.");
            Err(Error::invalid("expires_after.days", message))
        }
        _ => Ok(()),
    }
}

/// Checks metadata.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    check_keys("metadata", metadata.len(), metadata.keys())?;
    for (key, value) in metadata {
        check_text("metadata", key, value)?;
    }
    Ok(())
}

/// Checks the facts about a file.
pub(super) fn check_attributes(attributes: &Map<String, Value>) -> Result<()> {
    check_keys("attributes", attributes.len(), attributes.keys())?;
    for (key, value) in attributes {
        match value {
            Value::String(text) => check_text("attributes", key, text)?,
            Value::Number(_) | Value::Bool(_) => {}
            _ => {
                let message = format!("`attributes.{key}` must be a text, a number or a truth.");
                return Err(Error::invalid("attributes", message));
            }
        }
    }
    Ok(())
}

fn check_keys<'k>(
    field: &str,
    count: usize,
    mut keys: impl Iterator<Item = &'k String>,
) -> Result<()> {
    if count > KEYS_MAX {
        let message = format!("`{field}` has at most {KEYS_MAX} keys.");
        return Err(Error::invalid(field, message));
    }
    // Quotation marks and backslashes are what paths of filters are written with.
    let strange = |key: &String| {
        key.is_empty()
            || key.chars().count() > KEY_CHARACTERS_MAX
            || key
                .chars()
                .any(|character| character.is_control() || "\"\\".contains(character))
    };
    if keys.any(strange) {
        let message = format!(
            "The keys of `{field}` have 1 to {KEY_CHARACTERS_MAX} characters without quotation marks, backslashes and control characters."
        );
        return Err(Error::invalid(field, message));
    }
    Ok(())
}

fn check_text(field: &str, key: &str, text: &str) -> Result<()> {
    if text.chars().count() > VALUE_CHARACTERS_MAX || text.contains('\0') {
        let message = format!(
            "`{field}.{key}` has at most {VALUE_CHARACTERS_MAX} characters, none of them zero."
        );
        return Err(Error::invalid(field, message));
    }
    Ok(())
}
