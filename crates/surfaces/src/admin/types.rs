//! Wire shapes of the administration. Requests refuse unknown fields: nobody else's clients speak this.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Serialize)]
pub struct VersionReply {
    pub name: &'static str,
    pub version: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Models {
    pub models: Vec<ModelReply>,
}

#[derive(Debug, Serialize)]
pub struct ModelReply {
    pub name: String,
    pub digest: String,
    pub size_bytes: u64,
    pub created_unix: u64,
    pub origin: String,
    pub kind: &'static str,
    pub architecture: String,
    pub parameters: u64,
    pub quantization: String,
    pub context_length: u32,
    pub embedding_length: u32,
    pub has_chat_template: bool,
    pub license: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Runners {
    pub runners: Vec<RunnerReply>,
}

#[derive(Debug, Serialize)]
pub struct RunnerReply {
    pub name: String,
    pub digest: String,
    pub pid: Option<u32>,
    pub state: &'static str,
    pub loaded_unix: u64,
    pub expires_unix: Option<u64>,
    pub memory_bytes: u64,
    pub in_flight: u32,
    pub restarts: u32,
    pub pinned: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBody {
    pub name: String,
    /// Seconds or a duration; as in the OpenAI surface.
    pub keep_alive: Option<Value>,
    /// Never unload it to make room.
    pub pinned: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnloadBody {
    pub name: String,
}

#[derive(Debug, Serialize)]
pub struct UnloadReply {
    /// False when it was not loaded.
    pub unloaded: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullBody {
    pub source: String,
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyBody {
    pub from: String,
    pub to: String,
}

/// One line of a pull's progress.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum PullLine {
    Progress {
        stage: String,
        done_bytes: u64,
        total_bytes: Option<u64>,
    },
    Finished {
        stage: &'static str,
        model: Box<ModelReply>,
    },
}

#[derive(Debug, Serialize)]
pub struct Keys {
    pub keys: Vec<KeyReply>,
}

#[derive(Debug, Serialize)]
pub struct KeyReply {
    pub id: String,
    pub name: String,
    pub tenant: String,
    pub scopes: Vec<&'static str>,
    pub status: &'static str,
    pub created_unix: i64,
    pub expires_unix: Option<i64>,
    pub revoked_unix: Option<i64>,
    pub last_used_unix: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeyBody {
    pub name: String,
    pub scopes: Vec<String>,
    /// The maker's when absent.
    pub tenant: Option<String>,
    /// Seconds from now; for ever when absent.
    pub expires_in_seconds: Option<u32>,
}

/// The only reply that holds a key's text.
#[derive(Debug, Serialize)]
pub struct CreatedKeyReply {
    pub key: String,
    pub record: KeyReply,
}
