//! Snapshots of collections: taking, listing, sending, receiving and restoring them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use service::collections::SnapshotDetails;
use service::{Error, ErrorKind, Identity};

use super::collections::{Name, name_of};
use super::envelope::answer;
use super::multipart;
use crate::body::{JsonObject, read};
use crate::failure::{Failure, Surface};
use crate::state::App;

type Place = Result<Path<(String, String)>, PathRejection>;

fn place(place: Place) -> Result<(String, String), Error> {
    place
        .map(|Path(place)| place)
        .map_err(|_| Error::invalid("snapshot_name", "the name is not valid UTF-8"))
}

/// `GET /collections/{collection}/snapshots`
pub async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let snapshots = app
            .service
            .snapshots_list(&identity, &name_of(name)?)
            .await?;
        Ok(snapshots.iter().map(shown).collect::<Vec<_>>())
    })
    .await
}

/// `POST /collections/{collection}/snapshots`: answers when it is taken, with `wait` or without.
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let snapshot = app
            .service
            .snapshot_create(&identity, &name_of(name)?)
            .await?;
        Ok(shown(&snapshot))
    })
    .await
}

/// `DELETE /collections/{collection}/snapshots/{snapshot}`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    at: Place,
) -> Response {
    answer(async {
        let (name, snapshot) = place(at)?;
        app.service
            .snapshot_delete(&identity, &name, &snapshot)
            .await?;
        Ok(true)
    })
    .await
}

/// `GET /collections/{collection}/snapshots/{snapshot}`: the file, a tar archive.
pub async fn download(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    at: Place,
) -> Response {
    let opened = async {
        let (name, snapshot) = place(at)?;
        app.service
            .snapshot_download(&identity, &name, &snapshot)
            .await
    };
    match opened.await {
        Ok(pieces) => {
            // What goes wrong from here on ends the connection early, which every client notices.
            let body = Body::from_stream(pieces.map(|piece| {
                piece
                    .map(Bytes::from)
                    .map_err(|error| std::io::Error::other(error.message))
            }));
            let kind = HeaderValue::from_static("application/x-tar");
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => Failure::new(Surface::Qdrant, error).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoverBody {
    location: String,
    /// Which of several replicas wins; there is one.
    #[serde(default)]
    #[expect(dead_code, reason = "read so that it may be given")]
    priority: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "for addresses, which are refused")]
    api_key: Option<String>,
}

/// `PUT /collections/{collection}/snapshots/recover`: from one of the collection's own snapshots.
pub async fn recover(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    JsonObject(body): JsonObject,
) -> Response {
    answer(async {
        let body = read::<RecoverBody>(&body)?;
        if body.checksum.is_some() {
            return Err(checksum_refused());
        }
        // Fetching an address for whoever asks would lend them the server's place in its network.
        if body.location.contains('/') {
            return Err(Error::new(
                ErrorKind::NotSupported,
                "The location is the name of one of the collection's snapshots; upload files of other places.",
            )
            .at("location"));
        }
        app.service
            .snapshot_restore(&identity, &name_of(name)?, &body.location)
            .await?;
        Ok(true)
    })
    .await
}

fn checksum_refused() -> Error {
    Error::new(
        ErrorKind::NotSupported,
        "A checksum of the whole file is not compared; the archive holds the SHA-256 of each of its files, and those are.",
    )
    .at("checksum")
}

/// `POST /collections/{collection}/snapshots/upload`: a form with the file, or the file alone.
pub async fn upload(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    request: Request,
) -> Response {
    let patience = app.options.body_timeout;
    answer(async {
        let query = request.uri().query().unwrap_or_default();
        if query.split('&').any(|pair| pair.starts_with("checksum=")) {
            return Err(checksum_refused());
        }
        let boundary = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(multipart::boundary);
        let body = pieces(request.into_body(), patience);
        let archive = match boundary {
            Some(boundary) => multipart::file(body, &boundary),
            None => body,
        };
        app.service
            .snapshot_upload(&identity, &name_of(name)?, archive)
            .await?;
        Ok(true)
    })
    .await
}

/// The pieces of a body. Each may take as long as a whole body usually may.
fn pieces(body: Body, patience: Duration) -> service::collections::Pieces {
    let pieces = stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            let frame = match tokio::time::timeout(patience, body.frame()).await {
                Err(_elapsed) => {
                    let error = Error::new(
                        ErrorKind::DeadlineExceeded,
                        "the request body did not arrive in time",
                    );
                    return Some((Err(error), None));
                }
                Ok(frame) => frame?,
            };
            let error = match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Some((Ok(data.to_vec()), Some(body))),
                Ok(Err(_trailers)) => continue,
                Err(error) => Error::new(
                    ErrorKind::InvalidRequest,
                    format!("the request body could not be read: {error}"),
                ),
            };
            return Some((Err(error), None));
        }
    });
    pieces.boxed()
}

fn shown(snapshot: &SnapshotDetails) -> Value {
    json!({
        "name": snapshot.name,
        "creation_time": super::moment::date_time(snapshot.created_unix_ms),
        "size": snapshot.bytes,
        "checksum": null,
    })
}
