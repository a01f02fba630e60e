//! Handlers: check the shape, call one use case, write the result.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use service::{Error, Identity, RerankRequest, Reranked};

use super::convert::{self, in_tei_words, in_their_words};
use super::types::{RerankBody, TeiBody};
use crate::body::{JsonObject, read};
use crate::failure::{Failure, Surface};
use crate::state::App;

/// `POST /v1/rerank`: Jina's shape, and Cohere's first.
pub async fn rerank(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Result<Response, Failure> {
    ranked(&app, &identity, &body, "1")
        .await
        .map_err(|error| Failure::new(Surface::OpenAi, in_their_words(error)))
}

/// `POST /v2/rerank`: Cohere's second.
pub async fn rerank_v2(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Result<Response, Failure> {
    ranked(&app, &identity, &body, "2")
        .await
        .map_err(|error| Failure::new(Surface::Cohere, in_their_words(error)))
}

/// `POST /rerank`: text-embeddings-inference's.
pub async fn rerank_tei(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Result<Response, Failure> {
    ranked_for_tei(&app, &identity, &body)
        .await
        .map_err(|error| Failure::new(Surface::Tei, in_tei_words(error)))
}

async fn ranked(
    app: &App,
    identity: &Identity,
    body: &Value,
    version: &'static str,
) -> Result<Response, Error> {
    let asked = convert::request(read::<RerankBody>(body)?)?;
    let ranked = run(app, identity, asked.request).await?;
    Ok(Json(convert::reply(ranked, asked.documents, version)).into_response())
}

async fn ranked_for_tei(app: &App, identity: &Identity, body: &Value) -> Result<Response, Error> {
    let body: TeiBody = read(body)?;
    let ranked = run(app, identity, convert::tei_request(&body)?).await?;
    Ok(Json(convert::tei_reply(body, &ranked)).into_response())
}

async fn run(
    app: &App,
    identity: &Identity,
    mut request: RerankRequest,
) -> Result<Reranked, Error> {
    if request.model.is_empty() {
        request.model = app.service.default_reranker(identity).await?;
    }
    app.service.rerank(identity, request).await
}
