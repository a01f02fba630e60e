//! Runners: each loaded model lives in a child process of the same binary and is spoken to by gRPC over a Unix socket.
//!
//! The parent's side is [`Supervisor`]: which models live, where they fit, and when they are started again. Native code
//! may abort, leak or be killed; none of that reaches the parent except as an error on the streams of that one model.

pub mod client;
pub mod error;
mod estimate;
mod logs;
mod metrics;
pub mod options;
mod process;
pub mod protocol;
mod resident;
pub mod server;
pub mod supervisor;

pub use error::{RunnerError, RunnerErrorKind};
pub use options::{
    HealthPolicy, LoadOptions, ModelSource, OpenMpWait, RestartPolicy, SupervisorOptions,
};
pub use resident::{GenerateStream, Lease};
pub use supervisor::{LoadProgress, Resident, ResidentState, Supervisor};
