//! Paths that belong to more than one protocol, and how a request says which it speaks.
//!
//! ```text
//! GET /                 Ollama: the words "Ollama is running"; Qdrant: {"title", "version"} as its clients' handshake
//! GET /v1/models…       OpenAI; Anthropic with the header `anthropic-version`
//! ```

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header};
use serde_json::json;
use service::Identity;

use crate::anthropic::PageQuery;
use crate::failure::Surface;
use crate::state::App;
use crate::{anthropic, openai, qdrant};

/// What Ollama's server says at its root, and its clients look for.
const OLLAMA_GREETING: &str = "Ollama is running";

/// `GET /`: a handshake in JSON for clients of collections, a line of text for everybody else.
pub async fn root(State(app): State<App>, headers: HeaderMap) -> Response {
    if wants_handshake(&headers) {
        let title = format!("fornax {} (qdrant wire)", app.options.version);
        return Json(json!({"title": title, "version": qdrant::WIRE_VERSION})).into_response();
    }
    OLLAMA_GREETING.into_response()
}

/// Whether JSON is expected at the root: its user agent is Qdrant's, or it asks for JSON and is not Ollama's client, which
/// asks for JSON everywhere.
fn wants_handshake(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_ascii_lowercase()
    };
    let agent = text(header::USER_AGENT);
    if agent.starts_with("ollama") {
        return false;
    }
    // Qdrant's own clients call themselves `python-client/1.20.0`, `go-client/…`, `rust-client/…`.
    agent.contains("qdrant")
        || agent.contains("-client/")
        || text(header::ACCEPT).contains("application/json")
}

/// `GET /v1/models`
pub async fn list_models(
    app: State<App>,
    identity: Extension<Identity>,
    uri: Uri,
    headers: HeaderMap,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Response {
    match Surface::of(uri.path(), &headers) {
        Surface::Anthropic => anthropic::list_models(app, identity, headers, query)
            .await
            .into_response(),
        _ => openai::list_models(app, identity).await.into_response(),
    }
}

/// `GET /v1/models/{id}`
pub async fn get_model(
    app: State<App>,
    identity: Extension<Identity>,
    uri: Uri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    match Surface::of(uri.path(), &headers) {
        Surface::Anthropic => anthropic::get_model(app, identity, headers, id)
            .await
            .into_response(),
        _ => openai::get_model(app, identity, id).await.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_greets_each_client_in_its_own_way() {
        let wants = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| {
                    let name = header::HeaderName::from_static(name);
                    (name, header::HeaderValue::from_static(value))
                })
                .collect();
            wants_handshake(&headers)
        };
        assert!(wants(&[("user-agent", "qdrant-client/1.20.0 python/3.11")]));
        assert!(wants(&[
            ("user-agent", "python-httpx/0.28"),
            ("accept", "application/json")
        ]));
        assert!(!wants(&[
            ("user-agent", "ollama-python/0.6.3 (x86_64)"),
            ("accept", "application/json")
        ]));
        assert!(!wants(&[("user-agent", "curl/8"), ("accept", "*/*")]));
        assert!(!wants(&[]));
    }
}
