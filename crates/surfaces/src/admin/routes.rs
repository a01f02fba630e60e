//! Handlers of the administration.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use service::{Identity, PullRequest};

use super::convert;
use super::types::{
    CopyBody, CreatedKeyReply, Keys, LoadBody, Models, NewKeyBody, PullBody, Runners, UnloadBody,
    UnloadReply, VersionReply,
};
use crate::body::{JsonObject, read};
use crate::duration;
use crate::failure::{self, Surface};
use crate::native::{Answer, Name, text};
use crate::state::App;

fn now(app: &App) -> i64 {
    i64::try_from((app.options.now_unix)()).unwrap_or(i64::MAX)
}

/// `GET /fornax/v1/version`
pub async fn version(State(app): State<App>) -> Response {
    Json(VersionReply {
        name: "fornax",
        version: app.options.version,
    })
    .into_response()
}

/// `GET /fornax/v1/runners`
pub async fn runners(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let runners = app
        .service
        .residents(&identity)
        .await?
        .into_iter()
        .map(convert::runner_reply)
        .collect();
    Ok(Json(Runners { runners }).into_response())
}

/// `GET /fornax/v1/models`
pub async fn models(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let models = app
        .service
        .models(&identity)
        .await?
        .into_iter()
        .map(convert::model_reply)
        .collect();
    Ok(Json(Models { models }).into_response())
}

/// `GET /fornax/v1/models/{name}`
pub async fn model(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    let model = app.service.model(&identity, &text(name)?).await?;
    Ok(Json(convert::model_reply(model)).into_response())
}

/// `DELETE /fornax/v1/models/{name}`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    app.service.remove_model(&identity, &text(name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /fornax/v1/models/load`
pub async fn load(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: LoadBody = read(&body)?;
    let keep_alive = body
        .keep_alive
        .as_ref()
        .map(duration::keep_alive)
        .transpose()?;
    if let Some(pinned) = body.pinned {
        app.service.pin(&identity, &body.name, pinned).await?;
    }
    let resident = app.service.load(&identity, &body.name, keep_alive).await?;
    Ok(Json(convert::runner_reply(resident)).into_response())
}

/// `POST /fornax/v1/models/unload`
pub async fn unload(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: UnloadBody = read(&body)?;
    let unloaded = app.service.unload(&identity, &body.name).await?;
    Ok(Json(UnloadReply { unloaded }).into_response())
}

/// `POST /fornax/v1/models/copy`
pub async fn copy(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: CopyBody = read(&body)?;
    let model = app
        .service
        .copy_model(&identity, &body.from, &body.to)
        .await?;
    Ok((StatusCode::CREATED, Json(convert::model_reply(model))).into_response())
}

/// `POST /fornax/v1/models/pull`: one JSON object per line while it runs; the last one is the model or an error.
pub async fn pull(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: PullBody = read(&body)?;
    let request = PullRequest {
        source: body.source,
        name: body.name,
    };
    let events = app.service.pull(&identity, request).await?;
    let lines = events.map(|event| {
        let line = match event {
            Ok(event) => serde_json::to_vec(&convert::pull_line(event)),
            Err(error) => serde_json::to_vec(&failure::body(Surface::Native, &error)),
        };
        line.map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        })
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

/// `GET /fornax/v1/keys`
pub async fn list_keys(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let now = now(&app);
    let keys = app.service.keys_list(&identity).await?;
    let keys = keys
        .into_iter()
        .map(|record| convert::key_reply(record, now))
        .collect();
    Ok(Json(Keys { keys }).into_response())
}

/// `POST /fornax/v1/keys`: the only time that the key's text is shown.
pub async fn create_key(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: NewKeyBody = read(&body)?;
    let now = now(&app);
    let new = convert::new_key(body, &identity, now)?;
    let created = app.service.keys_create(&identity, new).await?;
    let reply = CreatedKeyReply {
        key: created.key.expose().to_string(),
        record: convert::key_reply(created.record, now),
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

/// `DELETE /fornax/v1/keys/{id}`
pub async fn revoke_key(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Name,
) -> Answer {
    let record = app.service.keys_revoke(&identity, &text(id)?).await?;
    Ok(Json(convert::key_reply(record, now(&app))).into_response())
}
