//! What the engine reports, as the closed set of kinds. Paths of the server are for its log.

use std::time::Duration;

use vectors::VectorsError;

use crate::error::{Error, ErrorKind};
use crate::failures::sentence;

/// When to come back after something that usually passes soon.
const SOON: Duration = Duration::from_secs(1);

/// The error's kind and words for callers.
pub(crate) fn from_vectors(error: VectorsError) -> Error {
    match error {
        VectorsError::Invalid { field, message } => {
            Error::new(ErrorKind::InvalidRequest, format!("{field}: {message}")).at(field)
        }
        VectorsError::CollectionMissing { name } => missing(&name),
        VectorsError::CollectionExists { name } => exists(&name),
        VectorsError::Missing {
            what: "vector",
            name,
        } => Error::new(
            ErrorKind::InvalidRequest,
            format!("Not existing vector name error: {name}"),
        )
        .with_code("vector_not_found"),
        VectorsError::Missing { what, name } => Error::new(
            ErrorKind::NotFound,
            format!("{what} `{name}` doesn't exist!"),
        ),
        VectorsError::VersionConflict { .. } => {
            Error::new(ErrorKind::Conflict, sentence(&error.to_string()))
                .with_code("version_conflict")
        }
        VectorsError::OverBudget { .. } => Error::new(
            ErrorKind::Overloaded,
            format!(
                "{} Delete points, or give collections.memory_budget_bytes more.",
                sentence(&error.to_string())
            ),
        )
        .with_code("memory_budget")
        .retry_after(SOON),
        VectorsError::Limit { .. } => {
            Error::new(ErrorKind::InvalidRequest, sentence(&error.to_string()))
                .with_code("limit_exceeded")
        }
        VectorsError::ReadOnly { .. } => {
            Error::new(ErrorKind::Unavailable, sentence(&error.to_string())).retry_after(SOON)
        }
        VectorsError::Locked { .. } => {
            tracing::error!(%error, "a database of collections cannot be opened");
            Error::new(
                ErrorKind::Unavailable,
                "The collections are in use by another process of this machine.",
            )
            .retry_after(SOON)
        }
        VectorsError::Corrupt { .. } => {
            tracing::error!(%error, "stored bytes are damaged");
            Error::new(
                ErrorKind::DataLoss,
                "Stored bytes of the collection are damaged; its information and the server's log say which.",
            )
        }
        VectorsError::Io { ref source, .. } => {
            tracing::error!(%error, "the disk failed a collection");
            let message = match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    "The disk of the collections is full."
                }
                _ => "The files of the collection could not be used; the server's log says why.",
            };
            Error::new(ErrorKind::Internal, message)
        }
        VectorsError::Cancelled => Error::new(ErrorKind::Cancelled, "The work was cancelled."),
    }
}

/// There is no such collection. Integrations read these words.
pub(super) fn missing(name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("Collection `{name}` doesn't exist!"),
    )
    .with_code("collection_not_found")
}

/// The name is taken. Integrations read these words.
pub(super) fn exists(name: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("Collection `{name}` already exists!"),
    )
    .with_code("collection_exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_of_the_server_reaches_a_caller() {
        let path = std::path::PathBuf::from("/srv/secret/place");
        for error in [
            VectorsError::Locked { path: path.clone() },
            VectorsError::Corrupt {
                path: path.clone(),
                message: "block 3".to_owned(),
            },
            VectorsError::io("write", path, std::io::Error::other("gone")),
        ] {
            let shown = from_vectors(error);
            assert!(!shown.message.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn the_words_that_integrations_read_stand() {
        let missing = from_vectors(VectorsError::CollectionMissing {
            name: "a".to_owned(),
        });
        assert_eq!(missing.kind, ErrorKind::NotFound);
        assert_eq!(missing.message, "Collection `a` doesn't exist!");
        let exists = from_vectors(VectorsError::CollectionExists {
            name: "a".to_owned(),
        });
        assert_eq!(exists.kind, ErrorKind::Conflict);
        assert_eq!(exists.message, "Collection `a` already exists!");
    }
}
