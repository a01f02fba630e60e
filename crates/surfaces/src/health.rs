//! What a load balancer and a metrics scraper ask. `/livez`, its old name `/healthz` and `/readyz` need no key and say
//! nothing that a stranger could use.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::state::App;

/// The process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// Requests can be served: a key store and a model store that open, and no shutdown under way.
pub async fn ready(State(app): State<App>) -> Response {
    let readiness = app.service.readiness().await;
    if readiness.ready {
        (StatusCode::OK, "ready\n").into_response()
    } else if readiness.draining {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        // The reason is for the log and the administrator, not for strangers.
        tracing::warn!(reason = readiness.reason, "not ready");
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

/// Prometheus text.
pub async fn metrics(State(app): State<App>) -> Response {
    let text = (app.options.metrics)();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}
