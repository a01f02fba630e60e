//! What the parts below report, as the closed set of kinds.

use std::time::Duration;

use inference::runner::{RunnerError, RunnerErrorKind};
use inference::store::StoreError;
use inference::templates::TemplateError;
use security::{AuthenticationError, KeyStoreError};

use crate::error::{Error, ErrorKind};

/// When to come back after something that usually passes soon.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn draining() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "The server is shutting down and takes no new requests.",
    )
    .retry_after(Duration::from_secs(5))
}

pub(crate) fn from_runner(error: RunnerError) -> Error {
    let failure = |kind| Error::new(kind, sentence(&error.message));
    match error.kind {
        RunnerErrorKind::Invalid => {
            let failure = failure(ErrorKind::InvalidRequest);
            match &error.field {
                Some(field) => failure.at(field.clone()),
                None => failure,
            }
        }
        RunnerErrorKind::ContextExceeded { prompt, limit } => context_exceeded(prompt, limit),
        RunnerErrorKind::Overloaded { retry_after } => {
            failure(ErrorKind::Overloaded).retry_after(retry_after.unwrap_or(SOON))
        }
        RunnerErrorKind::Deadline => failure(ErrorKind::DeadlineExceeded),
        RunnerErrorKind::Cancelled => failure(ErrorKind::Cancelled),
        RunnerErrorKind::Unsupported => failure(ErrorKind::NotSupported),
        RunnerErrorKind::Load {
            retry_after: Some(after),
        } => failure(ErrorKind::Unavailable).retry_after(after),
        // Trying again changes nothing: surfaces must not invite it.
        RunnerErrorKind::Load { retry_after: None } => {
            failure(ErrorKind::ModelFailed).with_code("model_load_failed")
        }
        RunnerErrorKind::Crashed => Error::new(
            ErrorKind::ModelFailed,
            "The model's runner ended unexpectedly while answering. Retry; the server's log says why it ended.",
        ),
        RunnerErrorKind::Unavailable => failure(ErrorKind::Unavailable).retry_after(SOON),
        RunnerErrorKind::Engine => failure(ErrorKind::ModelFailed),
    }
}

/// OpenAI's words, which frameworks match on.
pub(crate) fn context_exceeded(prompt: u64, limit: u64) -> Error {
    Error::new(
        ErrorKind::ContextExceeded,
        format!(
            "This model's maximum context length is {limit} tokens. However, your messages resulted in {prompt} \
             tokens. Please reduce the length of the messages."
        ),
    )
    .at("messages")
    .with_code("context_length_exceeded")
}

pub(crate) fn from_store(error: StoreError) -> Error {
    let message = sentence(&error.to_string());
    match error {
        StoreError::NotFound { name, nearest } => {
            let hint = nearest
                .map(|name| format!(" Did you mean '{name}'?"))
                .unwrap_or_default();
            Error::new(
                ErrorKind::NotFound,
                format!("The model '{name}' does not exist.{hint}"),
            )
            .at("model")
            .with_code("model_not_found")
        }
        StoreError::InvalidName { .. } => Error::invalid("model", message),
        StoreError::InvalidSource { .. } => Error::invalid("source", message),
        StoreError::File { .. } => Error::new(ErrorKind::InvalidRequest, message),
        // Paths of the server are for its log, not for whoever may generate text.
        StoreError::Manifest { .. } => {
            tracing::error!(error = message, "a model's manifest cannot be read");
            Error::new(
                ErrorKind::DataLoss,
                "The model's manifest is damaged; the server's log says how.",
            )
        }
        StoreError::Io { .. } => {
            tracing::error!(error = message, "the model store failed");
            Error::new(
                ErrorKind::Internal,
                "The model store could not be used; the server's log says why.",
            )
        }
        StoreError::BlobMissing { .. } | StoreError::HashMismatch { .. } => {
            Error::new(ErrorKind::DataLoss, message)
        }
        StoreError::Busy { .. } => Error::new(ErrorKind::Unavailable, message).retry_after(SOON),
        StoreError::Offline { .. } => Error::new(ErrorKind::NotSupported, message),
        StoreError::Network { .. } => Error::new(ErrorKind::Unavailable, message),
        StoreError::Refused { .. } | StoreError::NoSuchFile { .. } => {
            Error::new(ErrorKind::NotFound, message).at("source")
        }
        _ => Error::new(ErrorKind::Internal, message),
    }
}

pub(crate) fn from_template(error: TemplateError) -> Error {
    match error {
        TemplateError::Refused { message } => Error::invalid("messages", message),
        other => Error::invalid("messages", sentence(&other.to_string())),
    }
}

pub(crate) fn from_authentication(error: AuthenticationError) -> Error {
    match error {
        // Whoever asks is a stranger still: what is wrong with the database is for the log.
        AuthenticationError::Store(error) => {
            tracing::error!(%error, "a key could not be looked up");
            Error::new(
                ErrorKind::Unavailable,
                "The key could not be checked; the server's log says why.",
            )
            .retry_after(SOON)
        }
        // The same answer whatever is wrong with the key; the reason is for the log.
        refused => {
            tracing::debug!(reason = refused.name(), "a key was refused");
            Error::new(
                ErrorKind::Unauthenticated,
                "Incorrect API key provided: it is unknown, expired or revoked.",
            )
            .with_code("invalid_api_key")
        }
    }
}

pub(crate) fn from_keys(error: KeyStoreError) -> Error {
    let message = format!("Could not {error}.");
    match error {
        KeyStoreError::Invalid(name) => Error::invalid(name.what, sentence(&name.to_string())),
        KeyStoreError::NameTaken { .. } => Error::new(ErrorKind::Conflict, message).at("name"),
        KeyStoreError::NotFound { .. } => Error::new(ErrorKind::NotFound, message),
        KeyStoreError::Ambiguous { .. } | KeyStoreError::Full { .. } => {
            Error::new(ErrorKind::Conflict, message)
        }
        KeyStoreError::Damaged { .. } | KeyStoreError::Newer { .. } => {
            Error::new(ErrorKind::DataLoss, message)
        }
        KeyStoreError::Open { .. } | KeyStoreError::Database(_) | KeyStoreError::Entropy(_) => {
            Error::new(ErrorKind::Internal, message)
        }
    }
}

pub(crate) fn internal(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, sentence(&what.to_string()))
}

/// A lower-case phrase as a sentence.
pub(crate) fn sentence(phrase: &str) -> String {
    let mut characters = phrase.chars();
    let Some(first) = characters.next() else {
        return "The model gave no reason.".to_owned();
    };
    let mut text: String = first.to_uppercase().chain(characters).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}
