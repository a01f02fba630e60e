//! Why a model file was refused: one error type for every format, always naming the field and its place.

use thiserror::Error;

/// What a model file got wrong, by what its owner can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileErrorKind {
    /// The file could not be opened or read.
    Io,
    /// The file ends before something that it announces: download it again.
    Truncated,
    /// These bytes are not this format at all.
    Format,
    /// The format is understood, this variant of it is not (version, byte order, split files, tensor type).
    Unsupported,
    /// A value contradicts the format or another value.
    Invalid,
    /// A count, length or depth is beyond what any real model needs.
    Limit,
    /// A name appears twice.
    Duplicate,
    /// A value that every usable model carries is not there.
    Missing,
}

impl FileErrorKind {
    /// The stable word for logs and corpus tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Truncated => "truncated",
            Self::Format => "format",
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
        }
    }
}

/// A model file was refused. The text reads well after "could not read the model: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} (byte {offset}): {message}")]
pub struct FileError {
    /// Kind, by remedy.
    pub kind: FileErrorKind,
    /// The field at fault: `magic`, `metadata["llama.context_length"]`, `tensor "blk.0.attn_q.weight".offset`.
    pub field: String,
    /// Where in the file the field starts, in bytes.
    pub offset: u64,
    /// What is wrong with it, in a short lowercase phrase.
    pub message: String,
}

impl FileError {
    /// An error of `kind` at `field`.
    #[must_use]
    pub fn new(
        kind: FileErrorKind,
        field: impl Into<String>,
        offset: u64,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            field: field.into(),
            offset,
            message: message.into(),
        }
    }

    /// The operating system refused to read the file.
    #[must_use]
    pub fn io(field: impl Into<String>, offset: u64, error: &std::io::Error) -> Self {
        Self::new(FileErrorKind::Io, field, offset, error.to_string())
    }
}

/// Longest piece of a file's own text that an error repeats, in characters.
const QUOTED_CHARACTERS_MAX: usize = 96;

/// `text` as it may appear inside an error or a log line: control characters escaped, length bounded.
#[must_use]
pub fn quotable(text: &str) -> String {
    let mut quoted = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == QUOTED_CHARACTERS_MAX {
            quoted.push('…');
            break;
        }
        if character.is_control() || character == '"' {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    quoted
}
