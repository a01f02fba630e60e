//! Handlers of collections.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use serde_json::json;
use service::{Error, Identity};

use super::super::envelope::answer;
use super::super::selection::Parameters;
use super::types::{CreateBody, UpdateBody};
use super::{convert, shown};
use crate::body::{JsonObject, read};
use crate::state::App;

/// The name in a path.
pub type Name = Result<Path<String>, PathRejection>;
/// The query string.
pub type Given = Result<Query<Parameters>, QueryRejection>;

/// The name of the path.
///
/// # Errors
/// `InvalidRequest` when it is no text.
pub fn name_of(name: Name) -> Result<String, Error> {
    name.map(|Path(name)| name)
        .map_err(|_| Error::invalid("collection_name", "the name is not valid UTF-8"))
}

/// The parameters of the query string.
///
/// # Errors
/// `InvalidRequest` when one is malformed.
pub fn parameters(given: Given) -> Result<Parameters, Error> {
    given
        .map(|Query(parameters)| parameters)
        .map_err(|rejected| Error::invalid("query", rejected.body_text()))
}

/// `GET /collections`
pub async fn list(State(app): State<App>, Extension(identity): Extension<Identity>) -> Response {
    answer(async {
        let names = app.service.collections_list(&identity).await?;
        let shown: Vec<_> = names
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect();
        Ok(json!({"collections": shown}))
    })
    .await
}

/// `PUT /collections/{collection}`
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    JsonObject(body): JsonObject,
) -> Response {
    answer(async {
        let schema = convert::schema(read::<CreateBody>(&body)?)?;
        app.service
            .collection_create(&identity, &name_of(name)?, schema)
            .await?;
        Ok(true)
    })
    .await
}

/// `GET /collections/{collection}`
pub async fn info(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let details = app
            .service
            .collection_info(&identity, &name_of(name)?)
            .await?;
        Ok(shown::collection(&details))
    })
    .await
}

/// `GET /collections/{collection}/exists`
pub async fn exists(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let exists = app
            .service
            .collection_exists(&identity, &name_of(name)?)
            .await?;
        Ok(json!({"exists": exists}))
    })
    .await
}

/// `PATCH /collections/{collection}`
pub async fn update(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    JsonObject(body): JsonObject,
) -> Response {
    answer(async {
        let name = name_of(name)?;
        let body = read::<UpdateBody>(&body)?;
        // Who may change may also read, and dimensions, which alone are needed, never change.
        let schema = app.service.collection_schema(&identity, &name).await?;
        let update = convert::update(body, &schema)?;
        app.service
            .collection_update(&identity, &name, update)
            .await?;
        Ok(true)
    })
    .await
}

/// `DELETE /collections/{collection}`: `false` when there was none.
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        app.service
            .collection_delete(&identity, &name_of(name)?)
            .await
    })
    .await
}

/// `GET /collections/{collection}/cluster`: one shard, here.
pub async fn cluster(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let points = app
            .service
            .points_count(&identity, &name_of(name)?, None)
            .await?;
        Ok(json!({
            "peer_id": 0,
            "shard_count": 1,
            "local_shards": [{"shard_id": 0, "points_count": points, "state": "Active"}],
            "remote_shards": [],
            "shard_transfers": [],
        }))
    })
    .await
}
