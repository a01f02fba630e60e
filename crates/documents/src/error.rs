//! What can be wrong with an input, and where.

use crate::piece::Place;

/// What is wrong with an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The system or the database would not let it be read.
    Unreadable,
    /// It is no kind of document that can be read, or uses what is not supported.
    Unsupported,
    /// It is not what it should be.
    Malformed,
    /// It exceeds a bound of [`crate::Limits`].
    TooLarge,
    /// The parser failed on it; the damage is contained.
    Crashed,
    /// The caller wanted no more.
    Stopped,
}

/// A fault of an input. The name of the input is with the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{detail}", place.prefix())]
pub struct Error {
    /// What kind of fault.
    pub kind: ErrorKind,
    /// Where; empty when it is the whole input.
    pub place: Place,
    /// What exactly.
    pub detail: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Error {
            kind,
            place: Place::default(),
            detail: bounded(detail.into()),
        }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Malformed, detail)
    }

    pub(crate) fn too_large(what: &str, limit: u64) -> Self {
        Error::new(ErrorKind::TooLarge, format!("more than {limit} {what}"))
    }

    pub(crate) fn unreadable(error: impl std::fmt::Display) -> Self {
        Error::new(ErrorKind::Unreadable, error.to_string())
    }

    pub(crate) fn stopped() -> Self {
        Error::new(ErrorKind::Stopped, "stopped")
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// What an error says at most: parsers quote their input.
const DETAIL_BYTES_MAX: usize = 500;

fn bounded(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        let end = text.floor_char_boundary(DETAIL_BYTES_MAX);
        text.truncate(end);
        text.push('…');
    }
    text
}
