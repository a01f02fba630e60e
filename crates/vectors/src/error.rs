//! What can go wrong in the engine, by what the caller can do about it.

use std::path::PathBuf;

use crate::point::PointId;

/// An error of the engine. Messages read well after "could not …".
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// The request itself is wrong; `field` names the part of it (`points[3].vector.image`).
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the offending part in the engine's terms.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// There is no such collection.
    #[error("collection `{name}` doesn't exist")]
    CollectionMissing {
        /// The name asked for.
        name: String,
    },
    /// The name is taken.
    #[error("collection `{name}` already exists")]
    CollectionExists {
        /// The name asked for.
        name: String,
    },
    /// There is no such vector, index or snapshot.
    #[error("{what} `{name}` doesn't exist")]
    Missing {
        /// "vector", "payload index", "snapshot".
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A conditional write found another version than it was told to expect.
    #[error("point {id} is at version {actual:?}, not at {expected}")]
    VersionConflict {
        /// The point.
        id: PointId,
        /// What the caller expected; 0 means "absent".
        expected: u64,
        /// What is stored; `None` when the point is absent.
        actual: Option<u64>,
    },
    /// The memory budget has no room; nothing was changed.
    #[error(
        "{component} needs {wanted_bytes} bytes, but only {free_bytes} of the memory budget are free"
    )]
    OverBudget {
        /// Which part asked.
        component: &'static str,
        /// What it asked for.
        wanted_bytes: u64,
        /// What was left.
        free_bytes: u64,
    },
    /// A bound of the engine was met: too many points in one batch, too deep a filter, too many segments waiting.
    #[error("{what} is {actual}, more than the limit of {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// The bound.
        limit: u64,
        /// What was asked.
        actual: u64,
    },
    /// Another process holds the directory.
    #[error("directory {path} is in use by another process")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Bytes on disk are not what was written. The part is out of service; everything else goes on.
    #[error("{path} is damaged: {message}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Which part of it and how it was found.
        message: String,
    },
    /// A write or sync failed earlier; this collection refuses writes until it is opened again.
    #[error("collection refuses writes since an earlier failure: {message}")]
    ReadOnly {
        /// The earlier failure.
        message: String,
    },
    /// The operating system failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// "write", "sync", "open", …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The work was cancelled by its caller.
    #[error("cancelled")]
    Cancelled,
}

impl VectorsError {
    /// An [`VectorsError::Invalid`] for `field`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        VectorsError::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }

    /// An [`VectorsError::Io`] for `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        VectorsError::Io {
            action,
            path: path.into(),
            source,
        }
    }
}
