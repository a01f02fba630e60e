//! What can go wrong between the parent and a runner, and how it travels.
//!
//! A failure crosses the socket in one form, the protocol's `Failure`: as an event of a `Generate` or `Load` stream, or,
//! for calls with one reply, as the details of a gRPC status ([`RunnerError::to_status`], `From<tonic::Status>`).

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use super::protocol::Failure;

/// Why a runner could not answer, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerErrorKind {
    /// Fix the request; `field` names the part.
    Invalid,
    /// Shorten the prompt, or allow fewer output tokens.
    ContextExceeded {
        /// Tokens of the prompt.
        prompt: u64,
        /// Tokens that fit.
        limit: u64,
    },
    /// Come back later: a queue, the cache or the memory is full.
    Overloaded {
        /// When to try again, where known.
        retry_after: Option<Duration>,
    },
    /// The request's deadline passed.
    Deadline,
    /// The caller went away or asked for the stop.
    Cancelled,
    /// This model or engine does not do that.
    Unsupported,
    /// The model could not be loaded.
    Load {
        /// When the next attempt is made; `None` when trying again changes nothing (the file is wrong, or too large).
        retry_after: Option<Duration>,
    },
    /// The runner died; the next request gets a fresh one.
    Crashed,
    /// The server is shutting down, or the model is being unloaded.
    Unavailable,
    /// The engine failed; the message says how.
    Engine,
}

/// An error from, or about, a runner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunnerError {
    /// What the caller can do.
    pub kind: RunnerErrorKind,
    /// For a person.
    pub message: String,
    /// The request's field at fault, for [`RunnerErrorKind::Invalid`].
    pub field: Option<String>,
}

impl RunnerError {
    /// An error of `kind` saying `message`.
    pub fn new(kind: RunnerErrorKind, message: impl Into<String>) -> Self {
        RunnerError {
            kind,
            message: message.into(),
            field: None,
        }
    }

    /// When to try again, for the kinds that know.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            RunnerErrorKind::Overloaded { retry_after } | RunnerErrorKind::Load { retry_after } => {
                retry_after
            }
            _ => None,
        }
    }

    /// The same failure in the protocol's words.
    pub fn to_failure(&self) -> Failure {
        let mut failure = Failure {
            kind: String::new(),
            message: self.message.clone(),
            field: self.field.clone().unwrap_or_default(),
            actual: 0,
            limit: 0,
            retry_after_ms: 0,
        };
        let milliseconds = |duration: Option<Duration>| {
            duration.map_or(0, |duration| {
                u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
            })
        };
        let kind = match self.kind {
            RunnerErrorKind::Invalid => "invalid",
            RunnerErrorKind::ContextExceeded { prompt, limit } => {
                failure.actual = prompt;
                failure.limit = limit;
                "context_exceeded"
            }
            RunnerErrorKind::Overloaded { retry_after } => {
                failure.retry_after_ms = milliseconds(retry_after);
                "overloaded"
            }
            RunnerErrorKind::Deadline => "deadline",
            RunnerErrorKind::Cancelled => "cancelled",
            RunnerErrorKind::Unsupported => "unsupported",
            RunnerErrorKind::Load { retry_after } => {
                failure.retry_after_ms = milliseconds(retry_after);
                "load"
            }
            RunnerErrorKind::Crashed => "crashed",
            RunnerErrorKind::Unavailable => "unavailable",
            RunnerErrorKind::Engine => "engine",
        };
        failure.kind = kind.to_owned();
        failure
    }

    /// The same failure as the status of a call with one reply; the details carry the whole `Failure`.
    pub fn to_status(&self) -> Status {
        let code = match self.kind {
            RunnerErrorKind::Invalid | RunnerErrorKind::ContextExceeded { .. } => {
                Code::InvalidArgument
            }
            RunnerErrorKind::Overloaded { .. } => Code::ResourceExhausted,
            RunnerErrorKind::Deadline => Code::DeadlineExceeded,
            RunnerErrorKind::Cancelled => Code::Cancelled,
            RunnerErrorKind::Unsupported => Code::Unimplemented,
            RunnerErrorKind::Load { .. } => Code::FailedPrecondition,
            RunnerErrorKind::Crashed | RunnerErrorKind::Unavailable => Code::Unavailable,
            RunnerErrorKind::Engine => Code::Internal,
        };
        let details = self.to_failure().encode_to_vec();
        Status::with_details(code, self.message.clone(), details.into())
    }
}

impl From<Failure> for RunnerError {
    fn from(failure: Failure) -> Self {
        let retry_after =
            (failure.retry_after_ms > 0).then(|| Duration::from_millis(failure.retry_after_ms));
        let kind = match failure.kind.as_str() {
            "invalid" => RunnerErrorKind::Invalid,
            "context_exceeded" => RunnerErrorKind::ContextExceeded {
                prompt: failure.actual,
                limit: failure.limit,
            },
            // A full cache empties as others finish.
            "overloaded" | "cache_full" => RunnerErrorKind::Overloaded { retry_after },
            "deadline" => RunnerErrorKind::Deadline,
            "cancelled" => RunnerErrorKind::Cancelled,
            "unsupported" => RunnerErrorKind::Unsupported,
            "load" => RunnerErrorKind::Load { retry_after },
            "crashed" => RunnerErrorKind::Crashed,
            "unavailable" => RunnerErrorKind::Unavailable,
            // A kind that this parent does not know is still a failure of the engine.
            _ => RunnerErrorKind::Engine,
        };
        RunnerError {
            kind,
            message: failure.message,
            field: (!failure.field.is_empty()).then_some(failure.field),
        }
    }
}

impl From<Status> for RunnerError {
    fn from(status: Status) -> Self {
        if !status.details().is_empty()
            && let Ok(failure) = Failure::decode(status.details())
            && !failure.kind.is_empty()
        {
            return failure.into();
        }
        let kind = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => RunnerErrorKind::Invalid,
            Code::ResourceExhausted => RunnerErrorKind::Overloaded { retry_after: None },
            Code::DeadlineExceeded => RunnerErrorKind::Deadline,
            Code::Cancelled => RunnerErrorKind::Cancelled,
            Code::Unimplemented => RunnerErrorKind::Unsupported,
            _ => RunnerErrorKind::Engine,
        };
        RunnerError::new(kind, status.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_both_ways_across_the_socket() {
        let kinds = [
            RunnerErrorKind::Invalid,
            RunnerErrorKind::ContextExceeded {
                prompt: 9_000,
                limit: 8_192,
            },
            RunnerErrorKind::Overloaded {
                retry_after: Some(Duration::from_millis(2_500)),
            },
            RunnerErrorKind::Overloaded { retry_after: None },
            RunnerErrorKind::Deadline,
            RunnerErrorKind::Cancelled,
            RunnerErrorKind::Unsupported,
            RunnerErrorKind::Load {
                retry_after: Some(Duration::from_secs(1)),
            },
            RunnerErrorKind::Crashed,
            RunnerErrorKind::Unavailable,
            RunnerErrorKind::Engine,
        ];
        for kind in kinds {
            let mut error = RunnerError::new(kind, "what happened");
            error.field = Some("prompt".into());
            assert_eq!(RunnerError::from(error.to_failure()), error);
            assert_eq!(RunnerError::from(error.to_status()), error);
        }
    }

    #[test]
    fn a_bare_status_is_read_by_its_code() {
        let error = RunnerError::from(Status::unimplemented("no ranking head"));
        assert_eq!(error.kind, RunnerErrorKind::Unsupported);
        assert_eq!(error.message, "no ranking head");
        let error = RunnerError::from(Status::unknown("odd"));
        assert_eq!(error.kind, RunnerErrorKind::Engine);
    }

    #[test]
    fn a_full_cache_means_come_back_later() {
        let failure = Failure {
            kind: "cache_full".into(),
            retry_after_ms: 100,
            ..Failure::default()
        };
        assert_eq!(
            RunnerError::from(failure).retry_after(),
            Some(Duration::from_millis(100))
        );
    }
}
