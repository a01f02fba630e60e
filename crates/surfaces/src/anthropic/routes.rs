//! Handlers: check the shape, call one use case, write the result.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use service::{Error, ErrorKind, Identity};

use super::convert::{self, Thinking, in_their_words};
use super::models;
use super::replies::TokenCount;
use super::reply::{Head, MessageAnswer, MessageFrames};
use super::types::{MessagesBody, PageQuery};
use super::{VERSION, VERSION_HEADER};
use crate::body::{JsonObject, read};
use crate::failure::{Failure, Surface};
use crate::freshness::Fresh;
use crate::state::App;
use crate::streaming;

/// An error in Anthropic's shape.
type Answer = Result<Response, AnthropicFailure>;

/// Wraps [`Failure`] so that `?` on a service error picks this surface.
pub struct AnthropicFailure(Failure);

impl From<Error> for AnthropicFailure {
    fn from(error: Error) -> Self {
        AnthropicFailure(Failure::new(Surface::Anthropic, error))
    }
}

impl IntoResponse for AnthropicFailure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Versions are dates, and clients send newer ones than this server knows: their messages read the same. Only the one before
/// ours framed streams in another way.
fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(VERSION_HEADER) {
        Some(value) if value.as_bytes() < VERSION.as_bytes() => Err(Error::invalid(
            VERSION_HEADER,
            format!("`{VERSION_HEADER}` must be {VERSION} or later"),
        )),
        _ => Ok(()),
    }
}

/// `POST /v1/messages`
pub async fn messages(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Answer {
    check_version(&headers)?;
    convert::refuse_unsupported(&body)?;
    let body: MessagesBody = read(&body)?;
    let stream = body.stream.unwrap_or(false);
    let (mut request, thinking) = convert::chat_request(body, false)?;
    request.options.fresh = fresh;
    check_thinking(&app, &identity, &request.model, thinking).await?;
    let stops = request.options.stop.clone();
    let tokens_max = request.options.tokens_max.unwrap_or(u32::MAX);
    let generation = app
        .service
        .chat(&identity, request)
        .await
        .map_err(in_their_words)?;
    let head = Head::of(&generation, stops, tokens_max);
    let mut events = generation
        .events
        .map(|event| event.map_err(in_their_words))
        .boxed();
    if stream {
        let frames = MessageFrames::new(head);
        let silence = app.options.keep_alive_interval;
        return Ok(streaming::respond(events, frames, silence).await?);
    }
    let mut answer = MessageAnswer::new(head);
    while let Some(event) = events.next().await {
        answer.event(event?);
    }
    match answer.finish() {
        Some(json) => {
            let kind = HeaderValue::from_static("application/json");
            Ok(([(header::CONTENT_TYPE, kind)], json).into_response())
        }
        None => {
            Err(Error::new(ErrorKind::Internal, "the generation ended without a result").into())
        }
    }
}

/// `POST /v1/messages/count_tokens`
pub async fn count_tokens(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Answer {
    check_version(&headers)?;
    convert::refuse_unsupported(&body)?;
    let (request, thinking) = convert::chat_request(read(&body)?, true)?;
    check_thinking(&app, &identity, &request.model, thinking).await?;
    let tokens = app
        .service
        .chat_tokens(&identity, &request, None)
        .await
        .map_err(in_their_words)?;
    let input_tokens = tokens.len();
    Ok(Json(TokenCount { input_tokens }).into_response())
}

/// Refuses reasoning of a model that has none to show.
async fn check_thinking(
    app: &App,
    identity: &Identity,
    model: &str,
    thinking: Thinking,
) -> Result<(), Error> {
    if thinking != Thinking::On {
        return Ok(());
    }
    let capabilities = app.service.model_capabilities(identity, model).await?;
    if capabilities.reasons {
        return Ok(());
    }
    Err(Error::invalid(
        "thinking",
        format!("`thinking`: the model {model:?} does not support it; leave it out or disable it"),
    ))
}

/// `GET /v1/models` of a client that sends `anthropic-version`.
pub async fn list_models(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Answer {
    check_version(&headers)?;
    let Query(query) = query.map_err(|_| Error::invalid("query", "the query cannot be read"))?;
    let all = app.service.models(&identity).await?;
    Ok(Json(models::page(all, &query)?).into_response())
}

/// `GET /v1/models/{id}` of such a client.
pub async fn get_model(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Answer {
    check_version(&headers)?;
    let Path(id) =
        id.map_err(|_| Error::invalid("model_id", "the model's name is not valid UTF-8"))?;
    let model = app.service.model(&identity, &id).await?;
    Ok(Json(models::reply(model)).into_response())
}
