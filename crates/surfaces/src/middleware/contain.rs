//! A panic in one request ends that request, not the process, and is answered in the protocol's own shape.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use service::{Error, ErrorKind};

use crate::failure::{Failure, Surface};

/// Runs the rest of the stack, catching panics.
pub async fn contain(request: Request, next: Next) -> Response {
    let surface = Surface::of(request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(
                panic = message(panic.as_ref()),
                "a request handler panicked"
            );
            let error = Error::new(
                ErrorKind::Internal,
                "an internal error occurred; please report it with the request id",
            );
            Failure::new(surface, error).into_response()
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}
