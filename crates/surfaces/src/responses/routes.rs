//! Handlers: check the shape, call one use case, write the result.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use service::{Error, ErrorKind, Identity, ItemPage};

use super::reply::{self, Shown};
use super::types::{GetQuery, ItemsQuery, ResponsesBody};
use super::{convert, stream};
use crate::body::{JsonObject, read};
use crate::freshness::Fresh;
use crate::openai::OpenAiFailure;
use crate::openai::fields::{self, Request, in_their_words};
use crate::openai::types::GenerationBody;
use crate::state::App;

type Answer = Result<Response, OpenAiFailure>;

/// OpenAI's bounds of a page.
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;

/// `POST /v1/responses`
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    fields::refuse_unsupported(Request::Responses, &body)?;
    let generation: GenerationBody = read(&body)?;
    let body: ResponsesBody = read(&body)?;
    let (streamed, background) = (
        body.stream.unwrap_or(false),
        body.background.unwrap_or(false),
    );
    let mut request = convert::request(body, &generation).map_err(words)?;
    request.options.fresh = fresh;
    let started = app
        .service
        .response_create(&identity, request)
        .await
        .map_err(words)?;
    let shown = Shown::as_asked(&started.response);
    if streamed {
        let silence_max = app.options.keep_alive_interval;
        return Ok(stream::respond(started.events, shown, silence_max));
    }
    let response = if background {
        started.response
    } else {
        started.whole().await.map_err(words)?
    };
    Ok(Json(reply::response(&response, shown)).into_response())
}

/// `GET /v1/responses/{id}`
pub async fn get(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<GetQuery>, QueryRejection>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let id = name(id)?;
    let query = parameters(query)?;
    if query.stream.unwrap_or(false) {
        let events = app
            .service
            .response_events(&identity, &id, query.starting_after)
            .await?;
        let silence_max = app.options.keep_alive_interval;
        return Ok(stream::respond(
            events,
            included(raw.as_deref()),
            silence_max,
        ));
    }
    if query.starting_after.is_some() {
        return Err(
            Error::invalid("starting_after", "`starting_after` needs `stream=true`").into(),
        );
    }
    let response = app.service.response(&identity, &id).await?;
    let (asked, now) = (Shown::as_asked(&response), included(raw.as_deref()));
    let shown = Shown {
        results: asked.results || now.results,
    };
    Ok(Json(reply::response(&response, shown)).into_response())
}

/// `DELETE /v1/responses/{id}`
pub async fn delete(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Result<Path<String>, PathRejection>,
) -> Answer {
    let id = name(id)?;
    app.service.response_delete(&identity, &id).await?;
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})).into_response())
}

/// `POST /v1/responses/{id}/cancel`
pub async fn cancel(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Result<Path<String>, PathRejection>,
) -> Answer {
    let id = name(id)?;
    let response = app.service.response_cancel(&identity, &id).await?;
    let shown = Shown::as_asked(&response);
    Ok(Json(reply::response(&response, shown)).into_response())
}

/// `GET /v1/responses/{id}/input_items`
pub async fn input_items(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<ItemsQuery>, QueryRejection>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let id = name(id)?;
    let query = parameters(query)?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        let message = format!("`limit` must be between 1 and {PAGE_MAX}");
        return Err(Error::invalid("limit", message).into());
    }
    let ascending = match query.order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Error::invalid("order", "`order` is asc or desc").into()),
    };
    let page = ItemPage {
        after: query.after,
        limit,
        ascending,
    };
    let items = app.service.response_input(&identity, &id, &page).await?;
    Ok(Json(reply::list(&items, included(raw.as_deref()))).into_response())
}

/// `POST /v1/responses/compact` and `…/input_tokens`: not built.
pub async fn unsupported() -> Answer {
    Err(Error::new(
        ErrorKind::NotSupported,
        "this part of the Responses API is not supported by this server",
    )
    .into())
}

fn words(error: Error) -> Error {
    in_their_words(Request::Responses, error)
}

fn name(id: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    id.map(|Path(id)| id)
        .map_err(|_| Error::invalid("response_id", "the response's id is not valid UTF-8"))
}

fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Error> {
    query.map(|Query(query)| query).map_err(|rejection| {
        let message = format!("the query is not valid: {}", rejection.body_text());
        Error::new(ErrorKind::InvalidRequest, message)
    })
}

/// `include` of a query, which clients write as `include=a&include=b` or `include[]=a`.
fn included(raw: Option<&str>) -> Shown {
    let pairs = raw.unwrap_or_default().split('&');
    Shown::of(pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == "include" || name == "include[]" || name == "include%5B%5D").then_some(value)
    }))
}
