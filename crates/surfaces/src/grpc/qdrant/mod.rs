//! Qdrant's gRPC services over `service::collections`: `Collections`, `Points`, `Snapshots`, and the health check.
//!
//! `collections`, `points`, `searching` and `snapshots` hold the methods, the other files translate. The wire is that of
//! the 1.20 clients, written down in `proto/qdrant/`. What it can say and this server cannot do is refused in words.

mod answers;
pub mod collections;
mod describe;
mod expressions;
mod filters;
mod ids;
mod older;
pub mod points;
mod queries;
mod schema;
pub mod searching;
mod selectors;
pub mod snapshots;
mod values;
mod vectors;

use service::{Error, ErrorKind};

use super::Call;
use super::protocol::qdrant::{HealthCheckReply, HealthCheckRequest};

/// `Qdrant/HealthCheck`.
///
/// # Errors
/// None.
pub async fn health_check(
    _call: Call,
    _request: HealthCheckRequest,
) -> Result<HealthCheckReply, Error> {
    Ok(HealthCheckReply {
        title: "Fornax, on the wire of Qdrant".to_owned(),
        version: crate::qdrant::WIRE_VERSION.to_owned(),
        commit: None,
    })
}

fn invalid(field: &str, message: impl Into<String>) -> Error {
    Error::invalid(field, format!("{field}: {}", message.into()))
}

fn missing(field: &str) -> Error {
    Error::invalid(field, format!("`{field}` is missing"))
}

/// `what` reads as in "images as vectors are".
fn unsupported(what: &str) -> Error {
    Error::new(
        ErrorKind::NotSupported,
        format!("{what} not supported by this server"),
    )
}
