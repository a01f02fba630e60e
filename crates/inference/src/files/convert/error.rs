//! Why a checkpoint was not converted: always naming the file, and what would be understood instead.

use std::path::PathBuf;

use thiserror::Error;

use crate::files::error::FileError;
use crate::files::gguf_writer::WriteError;
use crate::files::quantize::QuantizeError;

/// A conversion failed. The text reads well after "could not convert: ".
#[derive(Debug, Error)]
pub enum ConvertError {
    /// A file of the checkpoint could not be read, or the output not written.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// A safetensors file is not valid.
    #[error("{path}: {error}", path = .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The field at fault.
        error: FileError,
    },
    /// A file that is needed is not there.
    #[error("{file} is not in the directory; {purpose}")]
    Missing {
        /// Its name.
        file: String,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// A value of a JSON file is missing or not usable.
    #[error("{file}: {field}: {message}")]
    Field {
        /// Name of the file.
        file: String,
        /// The field at fault.
        field: String,
        /// What is wrong, in a short lowercase phrase.
        message: String,
    },
    /// The model's architecture is not one that we convert.
    #[error(
        "the architecture \"{found}\" is not supported; supported are BERT encoders (model_type bert) and decoders of model_type llama, mistral and qwen2"
    )]
    Architecture {
        /// `model_type` of `config.json`.
        found: String,
    },
    /// The tokenizer is not one that we convert.
    #[error(
        "the tokenizer is not supported: {message}; supported are WordPiece (BERT) and byte-level BPE (decoders)"
    )]
    Tokenizer {
        /// What was found.
        message: String,
    },
    /// A tensor is missing, superfluous, of another shape, or holds values that the type asked for cannot hold.
    #[error("tensor {name}: {message}")]
    Tensor {
        /// Its name in the checkpoint.
        name: String,
        /// What is wrong, in a short lowercase phrase.
        message: String,
    },
    /// The GGUF file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ConvertError {
    pub(super) fn field(file: &str, field: &str, message: impl Into<String>) -> Self {
        Self::Field {
            file: file.into(),
            field: field.into(),
            message: message.into(),
        }
    }

    pub(super) fn tensor(name: &str, message: impl Into<String>) -> Self {
        Self::Tensor {
            name: name.into(),
            message: message.into(),
        }
    }

    pub(super) fn quantize(name: &str, error: &QuantizeError) -> Self {
        Self::tensor(name, error.to_string())
    }
}
