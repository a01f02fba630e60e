//! Runners: each loaded model lives in a child process of the same binary and is spoken to by gRPC over a Unix socket.
//!
//! The parent's side is `Supervisor`: which models live, where they fit, and when they are started again. Native code
//! may abort, leak or be killed; none of that reaches the parent except as an error on the streams of that one model.

pub mod error;
pub mod options;
pub mod protocol;
pub mod server;

pub use error::{RunnerError, RunnerErrorKind};
pub use options::{LoadOptions, ModelSource, OpenMpWait, RestartPolicy, SupervisorOptions};
