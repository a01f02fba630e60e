//! The closed set of error kinds, chosen by what the caller can do about it. Every surface maps these once to its own
//! status and body; nothing above this crate invents a kind. Adding one is a design decision.

use std::time::Duration;

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request: a field is missing, malformed or out of range.
    InvalidRequest,
    /// Shorten the prompt or ask for fewer tokens: it does not fit the model's context.
    ContextExceeded,
    /// Send a smaller body or fewer items.
    TooLarge,
    /// Present a valid key.
    Unauthenticated,
    /// Use a key with the scope that the message names.
    Forbidden,
    /// Name something that exists.
    NotFound,
    /// It exists already, or its state does not allow this.
    Conflict,
    /// Wait (`retry_after`) and retry: a queue or a limit of this caller is full.
    Overloaded,
    /// Wait and retry: the server is draining, or a model is being loaded or restarted.
    Unavailable,
    /// Retry with a longer deadline or less work.
    DeadlineExceeded,
    /// Nothing: the caller went away or asked for the stop.
    Cancelled,
    /// Use another way: Fornax does not do this.
    NotSupported,
    /// The model's runner died while answering: retry, and look at its log.
    ModelFailed,
    /// Report a bug: an invariant of ours broke.
    Internal,
    /// Restore data: bytes on disk are not what was written.
    DataLoss,
}

impl ErrorKind {
    /// Every kind, for tables and metrics that must be complete.
    pub const ALL: [ErrorKind; 15] = [
        ErrorKind::InvalidRequest,
        ErrorKind::ContextExceeded,
        ErrorKind::TooLarge,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Overloaded,
        ErrorKind::Unavailable,
        ErrorKind::DeadlineExceeded,
        ErrorKind::Cancelled,
        ErrorKind::NotSupported,
        ErrorKind::ModelFailed,
        ErrorKind::Internal,
        ErrorKind::DataLoss,
    ];

    /// Stable snake-case name, used in logs, metric labels and the native error body.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::ContextExceeded => "context_exceeded",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::DeadlineExceeded => "deadline_exceeded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::NotSupported => "not_supported",
            ErrorKind::ModelFailed => "model_failed",
            ErrorKind::Internal => "internal",
            ErrorKind::DataLoss => "data_loss",
        }
    }
}

/// An error a caller sees: what was wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// One or two sentences for a person: what was wrong and what to do.
    pub message: String,
    /// The request field at fault, in the surface's own spelling (`messages[2].content`).
    pub field: Option<String>,
    /// A finer machine-readable reason where clients match on one (`model_not_found`).
    pub code: Option<&'static str>,
    /// When to try again, for kinds that mean "wait".
    pub retry_after: Option<Duration>,
}

/// Result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` saying `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            field: None,
            code: None,
            retry_after: None,
        }
    }

    /// A request error at `field`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidRequest, message).at(field)
    }

    /// The same error, naming the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same error with a machine-readable reason.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same error saying when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
