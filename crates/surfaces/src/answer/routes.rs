//! The handler.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use service::{Answer, Error, ErrorKind, Identity};

use super::convert::{self, Whole};
use super::types::AnswerBody;
use crate::body::{JsonObject, read};
use crate::failure::{self, Failure, Surface};
use crate::freshness::Fresh;
use crate::state::App;

/// `POST /fornax/v1/answer`
pub async fn answer(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Result<Response, Failure> {
    answered(&app, &identity, fresh, &body)
        .await
        .map_err(|error| Failure::new(Surface::Native, error))
}

async fn answered(
    app: &App,
    identity: &Identity,
    fresh: bool,
    body: &Value,
) -> Result<Response, Error> {
    let body: AnswerBody = read(body)?;
    let streamed = body.stream.unwrap_or(false);
    let mut request = convert::request(body)?;
    request.options.fresh = fresh;
    let mut answer = app.service.answer(identity, request).await?;
    if streamed {
        let keep_alive = KeepAlive::new().interval(app.options.keep_alive_interval);
        return Ok(frames(answer).keep_alive(keep_alive).into_response());
    }
    let mut whole = Whole::default();
    while let Some(event) = answer.events.next().await {
        whole.event(&event?);
    }
    whole
        .reply(&answer.id, &answer.model, &answer.passages)
        .map(|reply| Json(reply).into_response())
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the answer ended without an end"))
}

type Frames = stream::BoxStream<'static, Result<Event, std::convert::Infallible>>;

/// First the sources, then the text as it comes; an error ends the stream with an event of its own.
fn frames(answer: Answer) -> Sse<Frames> {
    let head = json!({
        "id": answer.id,
        "model": answer.model,
        "sources": convert::sources(&answer.passages),
    });
    let rest = answer.events.map(|event| match event {
        Ok(event) => convert::event(&event),
        Err(error) => ("error", failure::body(Surface::Native, &error)),
    });
    let all = stream::once(std::future::ready(("sources", head))).chain(rest);
    Sse::new(
        all.map(|(name, data)| Ok(Event::default().event(name).data(data.to_string())))
            .boxed(),
    )
}
