//! Handlers of the files in vector stores, and of their batches.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use service::vector_stores::AttachmentState;
use service::{Error, Identity};

use super::routes::{Answer, PAGE};
use super::types::{BatchBody, DeletedReply, FileBody};
use super::{convert, read};
use crate::body::{JsonObject, read as body_of};
use crate::listing::{ListQuery, ListReply};
use crate::state::App;

type Id = Result<Path<String>, PathRejection>;
/// A vector store, and a file or batch of it.
type Ids = Result<Path<(String, String)>, PathRejection>;
type List = Result<Query<ListQuery>, QueryRejection>;

fn one(id: Id) -> Result<String, Error> {
    id.map(|Path(id)| id).map_err(|_| not_text())
}

fn two(ids: Ids) -> Result<(String, String), Error> {
    ids.map(|Path(ids)| ids).map_err(|_| not_text())
}

fn not_text() -> Error {
    Error::invalid("vector_store_id", "the id is not valid UTF-8")
}

/// The state that a list is asked for.
fn state(query: &ListQuery) -> Result<Option<AttachmentState>, Error> {
    let Some(name) = query.filter.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    AttachmentState::parse(name).map(Some).ok_or_else(|| {
        let message = "`filter` must be in_progress, completed, failed or cancelled";
        Error::invalid("filter", message)
    })
}

/// `POST /v1/vector_stores/{id}/files`
pub async fn attach(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
    JsonObject(body): JsonObject,
) -> Answer {
    let id = one(id)?;
    let file = read::store_file(body_of::<FileBody>(&body)?);
    let attached = app
        .service
        .vector_store_attach(&identity, &id, file)
        .await?;
    Ok(Json(convert::store_file(&id, attached)).into_response())
}

/// `GET /v1/vector_stores/{id}/files`
pub async fn list_files(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
    query: List,
) -> Answer {
    let (id, query) = (one(id)?, ListQuery::of(query)?);
    let files = app
        .service
        .vector_store_files(&identity, &id, state(&query)?, query.page(PAGE)?)
        .await?;
    let reply = ListReply::new(
        files,
        |file| convert::store_file(&id, file),
        |file| file.id.clone(),
    );
    Ok(Json(reply).into_response())
}

/// `GET /v1/vector_stores/{id}/files/{file_id}`
pub async fn file(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
) -> Answer {
    let (id, file_id) = two(ids)?;
    let file = app
        .service
        .vector_store_file(&identity, &id, &file_id)
        .await?;
    Ok(Json(convert::store_file(&id, file)).into_response())
}

/// `POST /v1/vector_stores/{id}/files/{file_id}`
pub async fn describe(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
    JsonObject(body): JsonObject,
) -> Answer {
    let (id, file_id) = two(ids)?;
    let attributes = read::attributes(&body)?;
    let file = app
        .service
        .vector_store_file_describe(&identity, &id, &file_id, attributes)
        .await?;
    Ok(Json(convert::store_file(&id, file)).into_response())
}

/// `DELETE /v1/vector_stores/{id}/files/{file_id}`
pub async fn detach(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
) -> Answer {
    let (id, file_id) = two(ids)?;
    app.service
        .vector_store_file_remove(&identity, &id, &file_id)
        .await?;
    let reply = DeletedReply {
        id: file_id,
        object: "vector_store.file.deleted",
        deleted: true,
    };
    Ok(Json(reply).into_response())
}

/// Where a file's content goes on.
#[derive(Debug, Deserialize)]
pub struct ContentQuery {
    page: Option<String>,
}

/// `GET /v1/vector_stores/{id}/files/{file_id}/content`
pub async fn content(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
    query: Result<Query<ContentQuery>, QueryRejection>,
) -> Answer {
    let (id, file_id) = two(ids)?;
    let page = query.map_or(None, |Query(query)| query.page);
    let first = match page.filter(|page| !page.is_empty()) {
        None => 0,
        Some(page) => page.parse().map_err(|_| {
            Error::invalid("page", "`page` must be the `next_page` of the page before")
        })?,
    };
    let content = app
        .service
        .vector_store_file_content(&identity, &id, &file_id, first)
        .await?;
    Ok(Json(convert::content(content)).into_response())
}

/// `POST /v1/vector_stores/{id}/file_batches`
pub async fn create_batch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
    JsonObject(body): JsonObject,
) -> Answer {
    let id = one(id)?;
    let files = read::batch(body_of::<BatchBody>(&body)?)?;
    let batch = app
        .service
        .vector_store_batch_create(&identity, &id, files)
        .await?;
    Ok(Json(convert::batch(&id, batch)).into_response())
}

/// `GET /v1/vector_stores/{id}/file_batches/{batch_id}`
pub async fn batch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
) -> Answer {
    let (id, batch_id) = two(ids)?;
    let batch = app
        .service
        .vector_store_batch(&identity, &id, &batch_id)
        .await?;
    Ok(Json(convert::batch(&id, batch)).into_response())
}

/// `POST /v1/vector_stores/{id}/file_batches/{batch_id}/cancel`
pub async fn cancel_batch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
) -> Answer {
    let (id, batch_id) = two(ids)?;
    let batch = app
        .service
        .vector_store_batch_cancel(&identity, &id, &batch_id)
        .await?;
    Ok(Json(convert::batch(&id, batch)).into_response())
}

/// `GET /v1/vector_stores/{id}/file_batches/{batch_id}/files`
pub async fn batch_files(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    ids: Ids,
    query: List,
) -> Answer {
    let ((id, batch_id), query) = (two(ids)?, ListQuery::of(query)?);
    let files = app
        .service
        .vector_store_batch_files(&identity, &id, &batch_id, state(&query)?, query.page(PAGE)?)
        .await?;
    let reply = ListReply::new(
        files,
        |file| convert::store_file(&id, file),
        |file| file.id.clone(),
    );
    Ok(Json(reply).into_response())
}
