//! Science models: Quasimoto waves and their ensembles, string vibrations and the string theory network, with training.
//!
//! Plain blocking code on plain types; nothing here knows a request, a tenant or a wire format.
//!
//! What must always hold:
//! 1. Everything random comes from [`random::Random`], started by a seed that the caller gives; the same seed gives the
//!    same model, the same batches and, on the same machine, the same trained parameters.
//! 2. Every count that a caller can choose has a named bound, checked before memory is asked for.
//! 3. Outside input never panics: a wrong shape, name or value is a [`PhysicsError`] that names the field.

#[cfg(feature = "accelerator")]
pub mod accelerator;
pub mod compatibility;
pub mod device;
pub mod error;
pub mod insight;
pub mod model;
pub mod network;
pub mod processor;
pub mod random;
pub mod strings;
pub mod training;
pub mod waves;

pub use error::PhysicsError;
pub use model::{ModelConfig, ScienceModel};
pub use processor::Processor;
