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
    let surface = Surface::of_request(&request);
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn breaks() -> &'static str {
        panic!("the handler's own secret")
    }

    #[tokio::test]
    async fn a_panic_is_500_in_the_shape_of_its_surface_and_tells_nothing() {
        let stack = Router::new()
            .route("/v1/breaks", get(breaks))
            .route("/fornax/v1/breaks", get(breaks))
            .route("/v1/works", get(|| async { "fine" }))
            .layer(from_fn(contain));
        let ask = async |path: &str| {
            let request = http::Request::get(path)
                .body(Body::empty())
                .expect("request");
            let response = stack.clone().oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 1 << 16).await.expect("body");
            (status, String::from_utf8(body.to_vec()).expect("text"))
        };
        for (path, field, expected) in [
            ("/v1/breaks", "type", "server_error"),
            ("/fornax/v1/breaks", "kind", "internal"),
        ] {
            let (status, body) = ask(path).await;
            assert_eq!(status, 500, "{path}");
            assert!(!body.contains("secret"), "{body}");
            let shape: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(shape["error"][field], expected, "{body}");
        }
        // The stack lives on.
        assert_eq!(ask("/v1/works").await, (200, "fine".to_owned()));
    }
}
