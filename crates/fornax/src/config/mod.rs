//! Configuration: one declaration ([`keys`]), four layers, one typed tree.
//!
//! Defaults < file < environment (`.env` below the process's own) < flags. Reading the layers has no side effects;
//! resolving them gives [`Settings`] and, for every key, where its value came from. Nobody else in the product reads the
//! environment. Unknown keys are errors, in the file and in the environment.

pub mod declare;
pub mod environment;
pub mod keys;
pub mod layers;
pub mod reference;
pub mod suggest;
pub mod values;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use keys::Settings;
pub use layers::{Flags, Loaded, load};

/// A configuration that cannot be used; every problem is named.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(|problem| format!("configuration: {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// One line per problem: what, where, and what to do.
    pub problems: Vec<String>,
}
