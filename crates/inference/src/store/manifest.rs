//! The manifest of a model: what the store knows about it. Written as JSON, one file per name.

use serde::{Deserialize, Serialize};

use crate::files::gguf::{GgufHeader, Kind, Pooling};

/// Version of the manifest format that is written; others are refused.
pub const MANIFEST_VERSION: u32 = 1;

/// One named model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// The name under which it is asked for.
    pub name: String,
    /// Digest of the weights: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Size of the weights in bytes.
    pub size_bytes: u64,
    /// Format of the weights.
    pub format: Format,
    /// When it was imported, in seconds since 1970.
    pub created_unix: u64,
    /// Where it came from.
    pub origin: Origin,
    /// What its header says.
    pub facts: ModelFacts,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
    /// Defaults of this model that its administrator chose.
    #[serde(default)]
    pub settings: ModelSettings,
}

/// Format of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// GGUF, run by llama.cpp.
    Gguf,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// It is part of the program.
    Embedded,
    /// A file of this machine.
    File {
        /// Its path when it was imported.
        path: String,
    },
    /// Converted here from another format.
    Converted {
        /// The path that it was converted from.
        path: String,
    },
    /// A file that a client sent.
    Uploaded {
        /// The name that the client gave it.
        file: String,
    },
    /// An address.
    Url {
        /// The address, without user and query.
        url: String,
    },
    /// A repository of a model hub.
    Hub {
        /// Base address of the hub.
        hub_url: String,
        /// `owner/repository`.
        repository: String,
        /// The commit, or the revision asked for when the hub told none.
        revision: String,
        /// Path inside the repository.
        file: String,
    },
}

/// What a model's header says, kept so that listing models opens no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// `llama`, `bert`, ...
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// `Q4_K_M`, `F16`, ...
    pub quantization: String,
    /// Positions that the model was trained for, in tokens.
    pub context_length: Option<u64>,
    /// Width of embeddings.
    pub embedding_length: Option<u64>,
    /// What it is made to do.
    pub kind: Kind,
    /// How token states are pooled, when the file says so.
    pub pooling: Option<Pooling>,
    /// Whether it carries a chat template.
    pub has_chat_template: bool,
    /// Its licence, when the file says so.
    pub license: Option<String>,
    /// Upper estimate of the key/value cache of one position, in bytes.
    pub kv_bytes_per_token: u64,
}

impl From<&GgufHeader> for ModelFacts {
    fn from(header: &GgufHeader) -> Self {
        Self {
            architecture: header.architecture.clone(),
            parameters: header.parameter_count,
            quantization: header.quantization.clone(),
            context_length: header.context_length,
            embedding_length: header.embedding_length,
            kind: header.kind,
            pooling: header.pooling_type,
            has_chat_template: header.chat_template.is_some(),
            license: header.license.clone(),
            kv_bytes_per_token: header.kv_bytes_per_token(),
        }
    }
}

/// Defaults that hold for one model; what is absent falls back to the configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Context of each sequence in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// Texts that end a generation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Sampling when the request is silent.
    pub sampling: SamplingSettings,
    /// System message when the conversation has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// Sampling defaults of one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingSettings {
    /// Temperature; 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Most likely tokens kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Least probability relative to the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Penalty on repeated tokens; 1 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
}
