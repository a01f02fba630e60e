//! What Fornax can do, as plain async functions on plain types; the only API boundary (see ARCHITECTURE.md).

mod error;
mod types;

pub use error::{Error, ErrorKind, Result};
pub use types::*;
