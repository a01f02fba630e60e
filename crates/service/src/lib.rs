//! What Fornax can do, as plain async functions on plain types; the only API boundary (see ARCHITECTURE.md).

mod administration;
mod error;
mod service;
mod types;

pub use administration::*;
pub use error::{Error, ErrorKind, Result};
pub use security::{
    Action, CreatedKey, Identity, KeyRecord, KeyStatus, NewKey, Scope, Scopes, TenantId,
};
pub use service::{Service, ServiceOptions};
pub use types::*;
