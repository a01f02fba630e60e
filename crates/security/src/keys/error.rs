//! What can go wrong with keys.

use std::path::PathBuf;

use crate::identity::InvalidName;

/// A key operation failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The database file cannot be opened.
    #[error("open the key database {path}: {source}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system or SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file was written by a newer Fornax.
    #[error(
        "read the key database: its schema is version {found}, and this Fornax knows versions up to {known}"
    )]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// A row holds what this build never writes.
    #[error("read key {id}: its {column} is not valid")]
    Damaged {
        /// Which row.
        id: String,
        /// Which column.
        column: &'static str,
    },
    /// SQLite failed.
    #[error("use the key database: {0}")]
    Database(#[from] sqlx::Error),
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] platform::entropy::EntropyError),
    /// A field of the new key does not fit its rules.
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    /// The tenant has a key of this name already.
    #[error(
        "name the key \"{name}\": tenant {tenant} has a key of that name; revoke it first or choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Whose.
        tenant: String,
    },
    /// No such key.
    #[error("find a key with id or name \"{wanted}\"")]
    NotFound {
        /// What was asked for.
        wanted: String,
    },
    /// Several tenants have a key of this name.
    #[error("choose a key by the name \"{wanted}\": {count} keys have it; use the id")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// How many keys.
        count: usize,
    },
    /// The store is full.
    #[error(
        "make another key: there are {limit} already; revoked keys older than a year are deleted automatically"
    )]
    Full {
        /// The bound.
        limit: i64,
    },
}

/// A presented key was not accepted. Callers answer the same to all but `Store`; the reason is for the log.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// It does not have the shape of a key.
    #[error("malformed key")]
    Malformed,
    /// No key has this id, or the secret is wrong.
    #[error("unknown key")]
    Unknown,
    /// The right secret of a key whose time is over.
    #[error("expired key")]
    Expired,
    /// The right secret of a key that was ended.
    #[error("revoked key")]
    Revoked,
    /// The store could not be read: not the caller's fault.
    #[error("look up a key: {0}")]
    Store(#[from] KeyStoreError),
}

impl AuthenticationError {
    /// Stable snake-case name for logs and metric labels.
    pub fn name(&self) -> &'static str {
        match self {
            AuthenticationError::Malformed => "malformed",
            AuthenticationError::Unknown => "unknown",
            AuthenticationError::Expired => "expired",
            AuthenticationError::Revoked => "revoked",
            AuthenticationError::Store(_) => "store",
        }
    }
}
