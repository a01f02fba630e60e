//! What `physics` and the disk report, as the closed set of kinds.

use std::path::Path;

use physics::PhysicsError;

use crate::error::{Error, ErrorKind};

/// A physics error: nearly all of them are about what the caller sent.
pub(super) fn from_physics(error: PhysicsError) -> Error {
    // Existing clients compare these two word for word.
    let message = match &error {
        PhysicsError::ModeBelowOne | PhysicsError::PositionOutsideString => error.to_string(),
        other => format!("Could not {other}."),
    };
    match error {
        PhysicsError::ModeBelowOne => Error::invalid("modes", message),
        PhysicsError::PositionOutsideString => Error::invalid("range", message),
        PhysicsError::OutOfRange { field, .. }
        | PhysicsError::Count { field, .. }
        | PhysicsError::Length { field, .. }
        | PhysicsError::Shape { field, .. }
        | PhysicsError::UnknownField { field, .. } => Error::invalid(field, message),
        PhysicsError::UnknownName { .. } => Error::new(ErrorKind::InvalidRequest, message),
        PhysicsError::Empty { field } => Error::invalid(field, message),
        PhysicsError::Diverged { .. } => {
            Error::invalid("learning_rate", message).with_code("training_diverged")
        }
        PhysicsError::Stored { .. } => Error::new(ErrorKind::DataLoss, message),
        PhysicsError::NotSupported { .. } => Error::new(ErrorKind::NotSupported, message),
        PhysicsError::Accelerator { .. } => Error::new(ErrorKind::ModelFailed, message),
        PhysicsError::Checkpoint { .. } => Error::new(ErrorKind::Internal, message),
    }
}

pub(super) fn not_found(name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("The science model '{name}' does not exist."),
    )
    .at("model")
    .with_code("model_not_found")
}

/// The disk failed. Its paths are for the log, not for the caller.
pub(super) fn from_disk(path: &Path, error: &std::io::Error) -> Error {
    tracing::error!(path = %path.display(), %error, "the science models' directory failed");
    Error::new(
        ErrorKind::Internal,
        "The science models could not be read or written; the server's log says why.",
    )
}

/// A file is not what was written.
pub(super) fn damaged(path: &Path, reason: &str) -> Error {
    tracing::error!(path = %path.display(), reason, "a science model is damaged");
    Error::new(
        ErrorKind::DataLoss,
        "The science model's file is damaged; the server's log says how.",
    )
}
