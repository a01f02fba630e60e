//! Handlers of vector stores themselves.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use service::vector_stores::STORES_PAGE_MAX;
use service::{Error, Identity};

use super::types::{CreateBody, DeletedReply, SearchBody};
use super::{convert, read};
use crate::body::{JsonObject, read as body_of};
use crate::listing::{Lengths, ListQuery, ListReply};
use crate::openai::OpenAiFailure;
use crate::state::App;

pub(super) type Answer = Result<Response, OpenAiFailure>;
type Id = Result<Path<String>, PathRejection>;

/// OpenAI's lengths.
pub(super) const PAGE: Lengths = Lengths {
    usual: 20,
    max: STORES_PAGE_MAX,
};

/// `POST /v1/vector_stores`
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let new = read::new_store(body_of::<CreateBody>(&body)?)?;
    let store = app.service.vector_store_create(&identity, new).await?;
    Ok(Json(convert::store(store)).into_response())
}

/// `GET /v1/vector_stores`
pub async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let page = ListQuery::of(query)?.page(PAGE)?;
    let stores = app.service.vector_store_list(&identity, page).await?;
    let reply = ListReply::new(stores, convert::store, |store| store.id.clone());
    Ok(Json(reply).into_response())
}

/// `GET /v1/vector_stores/{id}`
pub async fn retrieve(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
) -> Answer {
    let store = app.service.vector_store(&identity, &text(id)?).await?;
    Ok(Json(convert::store(store)).into_response())
}

/// `POST /v1/vector_stores/{id}`
pub async fn update(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
    JsonObject(body): JsonObject,
) -> Answer {
    let change = read::change(&body)?;
    let store = app
        .service
        .vector_store_update(&identity, &text(id)?, change)
        .await?;
    Ok(Json(convert::store(store)).into_response())
}

/// `DELETE /v1/vector_stores/{id}`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
) -> Answer {
    let id = text(id)?;
    app.service.vector_store_delete(&identity, &id).await?;
    let reply = DeletedReply {
        id,
        object: "vector_store.deleted",
        deleted: true,
    };
    Ok(Json(reply).into_response())
}

/// `POST /v1/vector_stores/{id}/search`
pub async fn search(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
    JsonObject(body): JsonObject,
) -> Answer {
    let search = read::search(body_of::<SearchBody>(&body)?)?;
    let queries = search.queries.clone();
    let hits = app
        .service
        .vector_store_search(&identity, &text(id)?, search)
        .await?;
    Ok(Json(convert::results(queries, hits)).into_response())
}

fn text(id: Id) -> Result<String, Error> {
    id.map(|Path(id)| id)
        .map_err(|_| Error::invalid("vector_store_id", "the id is not valid UTF-8"))
}
