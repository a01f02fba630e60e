//! Exit codes: one table from what went wrong to a number that scripts can rely on.

use inference::store::StoreError;
use security::KeyStoreError;
use service::ErrorKind;

use crate::config::ConfigError;

/// What a command's end means. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something else failed; the message says what.
    Failure = 1,
    /// The command line or a request is not right.
    Usage = 2,
    /// The configuration is not right.
    Configuration = 3,
    /// There is no such model, key or file.
    NotFound = 4,
    /// The key is missing, wrong, or lacks a scope.
    Denied = 5,
    /// The server or the network cannot be reached, is full, or is stopping: try again.
    Unavailable = 6,
    /// A file is not what it should be.
    BadData = 7,
    /// Fornax does not do this, or not offline.
    NotSupported = 8,
    /// It exists already, or somebody else is using it.
    Conflict = 9,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning; the help is checked against it.
    #[cfg(test)]
    pub const ALL: [(Exit, &'static str); 10] = [
        (Exit::Failure, "another failure; the message says which"),
        (Exit::Usage, "wrong command line or request"),
        (Exit::Configuration, "wrong configuration"),
        (Exit::NotFound, "no such model, key or file"),
        (Exit::Denied, "key missing, wrong, or without the scope"),
        (
            Exit::Unavailable,
            "server or network not reachable, full or stopping: try again",
        ),
        (Exit::BadData, "a file is not what it should be"),
        (Exit::NotSupported, "not supported, or not offline"),
        (Exit::Conflict, "exists already, or is in use"),
        (Exit::Interrupted, "stopped by Ctrl-C"),
    ];

    /// The code of an error, by the innermost cause that is known.
    pub fn of(error: &anyhow::Error) -> Exit {
        error.chain().find_map(known).unwrap_or(Exit::Failure)
    }
}

/// An end that a command chose itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Ended {
    /// With which code.
    pub exit: Exit,
    /// What to say.
    pub message: String,
}

impl Ended {
    /// The end `exit`, saying `message`.
    pub fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Ended {
            exit,
            message: message.into(),
        }
        .into()
    }
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(ended) = cause.downcast_ref::<Ended>() {
        Some(ended.exit)
    } else if let Some(error) = cause.downcast_ref::<service::Error>() {
        Some(of_kind(error.kind))
    } else if let Some(error) = cause.downcast_ref::<StoreError>() {
        Some(of_store(error))
    } else if let Some(error) = cause.downcast_ref::<KeyStoreError>() {
        Some(of_keys(error))
    } else if cause.is::<ConfigError>() || cause.is::<telemetry::TelemetryError>() {
        Some(Exit::Configuration)
    } else if cause.is::<inference::files::FileError>() {
        Some(Exit::BadData)
    } else if cause.is::<platform::files::LockError>() {
        Some(Exit::Conflict)
    } else if cause.is::<reqwest::Error>() {
        Some(Exit::Unavailable)
    } else {
        let error = cause.downcast_ref::<std::io::Error>()?;
        Some(match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::AddrInUse => Exit::Conflict,
            _ => Exit::Failure,
        })
    }
}

/// The code of each kind of the service.
pub fn of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextExceeded | ErrorKind::TooLarge => Exit::Usage,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Exit::Denied,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Conflict => Exit::Conflict,
        ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => {
            Exit::Unavailable
        }
        ErrorKind::Cancelled => Exit::Interrupted,
        ErrorKind::NotSupported => Exit::NotSupported,
        ErrorKind::DataLoss => Exit::BadData,
        ErrorKind::ModelFailed | ErrorKind::Internal => Exit::Failure,
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::InvalidName { .. } | StoreError::InvalidSource { .. } => Exit::Usage,
        StoreError::NotFound { .. } | StoreError::NoSuchFile { .. } => Exit::NotFound,
        StoreError::File { .. }
        | StoreError::Manifest { .. }
        | StoreError::BlobMissing { .. }
        | StoreError::HashMismatch { .. } => Exit::BadData,
        StoreError::Busy { .. } => Exit::Conflict,
        StoreError::Offline { .. } => Exit::NotSupported,
        StoreError::Network { .. } => Exit::Unavailable,
        StoreError::Refused { status, .. } => match status {
            401 | 403 => Exit::Denied,
            404 | 410 => Exit::NotFound,
            _ => Exit::Unavailable,
        },
        StoreError::Io { .. } | StoreError::TooLarge { .. } | StoreError::DiskFull { .. } => {
            Exit::Failure
        }
    }
}

fn of_keys(error: &KeyStoreError) -> Exit {
    match error {
        KeyStoreError::Invalid(_) => Exit::Usage,
        KeyStoreError::NotFound { .. } => Exit::NotFound,
        KeyStoreError::NameTaken { .. }
        | KeyStoreError::Ambiguous { .. }
        | KeyStoreError::Full { .. } => Exit::Conflict,
        KeyStoreError::Damaged { .. } => Exit::BadData,
        KeyStoreError::Newer { .. } => Exit::NotSupported,
        KeyStoreError::Open { .. } | KeyStoreError::Database(_) | KeyStoreError::Entropy(_) => {
            Exit::Failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_known_cause_decides() {
        let error = anyhow::Error::from(service::Error::new(ErrorKind::NotFound, "no model"))
            .context("could not run");
        assert_eq!(Exit::of(&error), Exit::NotFound);
        assert_eq!(Exit::of(&anyhow::anyhow!("odd")), Exit::Failure);
        assert_eq!(
            Exit::of(&Ended::error(Exit::Conflict, "in use")),
            Exit::Conflict
        );
    }

    #[test]
    fn codes_are_distinct_and_never_zero() {
        let mut codes: Vec<i32> = Exit::ALL.iter().map(|(exit, _)| *exit as i32).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
        assert!(!codes.contains(&0));
        for kind in ErrorKind::ALL {
            assert!(
                Exit::ALL.iter().any(|(exit, _)| *exit == of_kind(kind)),
                "{kind:?}"
            );
        }
    }
}
