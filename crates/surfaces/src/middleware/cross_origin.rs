//! Browsers from other origins: none by default. Keys travel in headers that a page must ask for, so an allowed origin
//! still needs a key.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::state::App;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const HEADERS_DEFAULT: &str = "authorization, content-type, x-api-key, api-key, x-request-id, traceparent, anthropic-version, anthropic-beta, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id";
const EXPOSED: &str =
    "x-request-id, retry-after, retry-after-ms, x-should-retry, traceparent, mcp-session-id";

/// Answers preflights of allowed origins and marks the answers that they may read.
pub async fn cross_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(origin) = request
        .headers()
        .get(header::ORIGIN)
        .filter(|origin| allowed(&app, origin))
        .cloned()
    else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !preflight {
        let mut response = next.run(request).await;
        mark(response.headers_mut(), origin);
        return response;
    }
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    mark(headers, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    let asked = asked.unwrap_or_else(|| HeaderValue::from_static(HEADERS_DEFAULT));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    response
}

fn allowed(app: &App, origin: &HeaderValue) -> bool {
    app.options
        .cors_origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}
