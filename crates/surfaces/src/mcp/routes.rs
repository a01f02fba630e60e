//! `/mcp`. Checks what is ours to check and hands the message on; a body with `operation` and without `jsonrpc` speaks
//! DREDGE's dialect.

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use rmcp::model::{ErrorCode, ProtocolVersion};
use serde_json::Value;
use service::{Error, ErrorKind, Identity};
use tracing::Span;

use super::endpoint::Answer;
use super::messages::{self, error_body};
use crate::body::JsonValue;
use crate::dredge;
use crate::failure::{Failure, Surface};
use crate::freshness::Fresh;
use crate::state::App;

/// Where the older revisions carry the session.
const SESSION: &str = "mcp-session-id";
/// `rmcp`'s own refusals are one sentence.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

fn failure(error: Error) -> Response {
    Failure::new(Surface::Mcp, error).into_response()
}

/// `POST /mcp`: one message.
pub async fn receive(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    if let Err(error) = check_origin(&app, request.headers()) {
        return failure(error);
    }
    let (mut parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let body = match JsonValue::read(request, &app).await {
        Ok(JsonValue(body)) => body,
        Err(failure) => return failure.into_response(),
    };
    if is_dredge(&body) {
        let fresh = Fresh::of(&parts.headers).0;
        let answer = dredge::operate(&app, &identity, &body, fresh).await;
        return axum::Json(answer).into_response();
    }
    if let Err(malformed) = messages::classify(&body) {
        return malformed.into_response();
    }
    let begins_session = body
        .as_object()
        .and_then(messages::method)
        .is_some_and(|method| method == "initialize");
    if !begins_session && names_own_revision(&body) {
        // Such a request stands for itself; taken away, the header cannot lead it into anybody's session.
        parts.headers.remove(SESSION);
    } else if let Err(error) = check_session(&app, &identity, &parts.headers) {
        return failure(error);
    }
    if begins_session && let Err(error) = app.mcp.room(&identity).await {
        return failure(error);
    }
    let bytes = match serde_json::to_vec(&body) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return failure(Error::new(ErrorKind::Internal, error.to_string())),
    };
    drop(body);
    let answer = forward(&app, &identity, parts, bytes).await;
    if begins_session && let Some(id) = session(answer.headers()) {
        app.mcp.sessions.begun(id, &identity);
    }
    finish(answer).await
}

/// `GET /mcp`: what the server says by itself, in a session of the older revisions.
pub async fn listen(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    without_body(&app, &identity, request).await
}

/// `DELETE /mcp`: the end of a session.
pub async fn terminate(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    without_body(&app, &identity, request).await
}

async fn without_body(app: &App, identity: &Identity, request: Request) -> Response {
    if let Err(error) = check_origin(app, request.headers()) {
        return failure(error);
    }
    if let Err(error) = check_session(app, identity, request.headers()) {
        return failure(error);
    }
    if request.method() == Method::HEAD {
        // A stream that nobody would read must not take the place of one that somebody does.
        let text = "this path has nothing to look at; it streams to GET and takes messages by POST";
        return failure(Error::new(ErrorKind::InvalidRequest, text));
    }
    let (parts, _) = request.into_parts();
    let ended = (parts.method == Method::DELETE)
        .then(|| session(&parts.headers).map(str::to_owned))
        .flatten();
    let answer = forward(app, identity, parts, Bytes::new()).await;
    if let Some(id) = ended.filter(|_| answer.status().is_success()) {
        app.mcp.sessions.ended(&id);
    }
    finish(answer).await
}

async fn forward(
    app: &App,
    identity: &Identity,
    mut parts: http::request::Parts,
    body: Bytes,
) -> Answer {
    parts.extensions.insert(app.clone());
    parts.extensions.insert(identity.clone());
    parts.extensions.insert(Span::current());
    // The key must not travel further than it has to.
    for name in ["authorization", "x-api-key", "api-key"] {
        parts.headers.remove(name);
    }
    // `rmcp` wants one although it is told not to look at it, and over HTTP/2 there is none.
    parts
        .headers
        .entry(header::HOST)
        .or_insert(HeaderValue::from_static("localhost"));
    app.mcp
        .answer(Request::from_parts(parts, Full::new(body)))
        .await
}

fn session(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}

/// A page in a browser may call only if its origin is configured, or is of this machine: a page that reaches a local server
/// through a name of its own would show that name here.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let configured = app
        .options
        .cors_origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes());
    if configured || origin.to_str().is_ok_and(is_loopback) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forbidden,
        "pages of this origin may not call this server; see server.cors_origins",
    )
    .with_code("origin_not_allowed"))
}

fn is_loopback(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<http::Uri>() else {
        return false;
    };
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    http && matches!(
        uri.host(),
        Some("localhost" | "127.0.0.1" | "[::1]" | "::1")
    )
}

/// Whether a message says, in itself, that it is of the revision without sessions.
fn names_own_revision(body: &Value) -> bool {
    let revision = &body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    revision == ProtocolVersion::V_2026_07_28.as_str()
}

/// A session of another key does not exist.
fn check_session(app: &App, identity: &Identity, headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(SESSION) else {
        return Ok(());
    };
    let owned = value
        .to_str()
        .is_ok_and(|id| app.mcp.sessions.owns(id, identity));
    if owned {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::NotFound,
        "there is no such session; begin a new one with `initialize`",
    );
    Err(error.with_code("session_not_found"))
}

/// `rmcp`'s answer as ours: its refusals in plain text become JSON-RPC errors, and streams ask proxies not to collect them.
async fn finish(answer: Answer) -> Response {
    let (mut parts, body) = answer.into_parts();
    let is = |kind: &str| {
        parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(kind.as_bytes()))
    };
    let refused = parts.status.is_client_error() || parts.status.is_server_error();
    if refused && !is("application/json") {
        let text = match Limited::new(body, REFUSAL_BYTES_MAX).collect().await {
            Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).into_owned(),
            Err(_) => String::new(),
        };
        return refusal(parts.status, &parts.headers, &text);
    }
    if is("text/event-stream") {
        parts
            .headers
            .insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    Response::from_parts(parts, Body::new(body))
}

fn refusal(status: StatusCode, headers: &HeaderMap, text: &str) -> Response {
    let code = if status.is_server_error() {
        ErrorCode::INTERNAL_ERROR
    } else {
        ErrorCode::INVALID_REQUEST
    };
    let message = if status.is_server_error() {
        tracing::error!(%status, text, "the protocol's server could not answer");
        "an internal error occurred; please report it with the request id"
    } else {
        text
    };
    let mut response = (status, axum::Json(error_body(None, code, message, None))).into_response();
    if let Some(allow) = headers.get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}

/// Whether a body speaks DREDGE's dialect.
fn is_dredge(body: &Value) -> bool {
    body.as_object()
        .is_some_and(|body| body.contains_key("operation") && !body.contains_key("jsonrpc"))
}
