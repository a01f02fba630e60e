//! Handlers of the ingest.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use service::files::Upload;
use service::{Error, ErrorKind, Identity};

use super::convert;
use super::types::{IngestQuery, RemovedReply, SearchBody, SourceReply, SourcesReply, StateReply};
use crate::body::{JsonObject, read};
use crate::failure::{self, Failure, Surface};
use crate::state::App;

/// An error in our own shape.
type Answer = Result<Response, NativeFailure>;

/// Wraps [`Failure`] so that `?` on a service error picks this surface.
pub struct NativeFailure(Failure);

impl From<Error> for NativeFailure {
    fn from(error: Error) -> Self {
        NativeFailure(Failure::new(Surface::Native, error))
    }
}

impl IntoResponse for NativeFailure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

type Name = Result<Path<String>, PathRejection>;
type Asked = Result<Query<IngestQuery>, QueryRejection>;

fn collection(name: Name) -> Result<String, Error> {
    name.map(|Path(name)| name)
        .map_err(|_| Error::invalid("name", "the name is not valid UTF-8"))
}

fn asked(query: Asked) -> Result<IngestQuery, Error> {
    query
        .map(|Query(query)| query)
        .map_err(|rejected| Error::invalid("query", rejected.body_text()))
}

fn source(query: &IngestQuery) -> Result<&str, Error> {
    let source = query.source.as_deref();
    source.ok_or_else(|| Error::invalid("source", "`source` is required: the name of the file"))
}

/// `POST /fornax/v1/collections/{name}/ingest`: the body is the file; one JSON object per line while it is read, the
/// last one says what became of it or is an error.
pub async fn ingest(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    query: Asked,
    request: Request,
) -> Answer {
    let (name, query) = (collection(name)?, asked(query)?);
    let dry_run = convert::flag("dry_run", query.dry_run.as_deref())?;
    let options = convert::options(&query, dry_run)?;
    let source = source(&query)?;
    let (head, body) = request.into_parts();
    let declared = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let upload = app.service.file_begin(&identity, declared).await?;
    let upload = receive(&app, upload, body).await?;
    let events = app
        .service
        .ingest(&identity, &name, source, upload, options)
        .await?;
    let lines = events.map(move |event| {
        let line = match event {
            Ok(event) => serde_json::to_vec(&convert::line(event, dry_run)),
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

/// Takes the body to disk as it comes. The time limit is for each part: a large file may take long, a silent sender not.
async fn receive(app: &App, mut upload: Upload, mut body: Body) -> Result<Upload, Error> {
    loop {
        let frame = tokio::time::timeout(app.options.body_timeout, body.frame())
            .await
            .map_err(|_| {
                Error::new(ErrorKind::InvalidRequest, "the request body stopped coming")
            })?;
        let Some(frame) = frame else {
            return Ok(upload);
        };
        let frame = frame.map_err(|error| {
            let message = format!("the request body could not be read: {error}");
            Error::new(ErrorKind::InvalidRequest, message)
        })?;
        if let Ok(bytes) = frame.into_data() {
            upload.write(&bytes).await?;
        }
    }
}

/// `GET /fornax/v1/collections/{name}/ingest`: the files of a collection; with `source` and `sha256`, whether an ingest
/// of it would read it.
pub async fn sources(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    query: Asked,
) -> Answer {
    let (name, query) = (collection(name)?, asked(query)?);
    if let Some(sha256) = &query.sha256 {
        let options = convert::options(&query, false)?;
        let source = source(&query)?;
        let state = app
            .service
            .ingest_state(&identity, &name, source, sha256, &options)
            .await?;
        let reply = StateReply {
            source: source.to_owned(),
            state: convert::state(state),
        };
        return Ok(Json(reply).into_response());
    }
    let sources = app.service.ingest_sources(&identity, &name).await?;
    let sources = sources.into_iter().map(|found| SourceReply {
        source: found.source,
        chunks: found.chunks,
    });
    Ok(Json(SourcesReply {
        sources: sources.collect(),
    })
    .into_response())
}

/// `DELETE /fornax/v1/collections/{name}/ingest?source=…`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    query: Asked,
) -> Answer {
    let (name, query) = (collection(name)?, asked(query)?);
    let source = source(&query)?;
    let removed = app.service.ingest_remove(&identity, &name, source).await?;
    Ok(Json(RemovedReply {
        source: source.to_owned(),
        removed,
    })
    .into_response())
}

/// `POST /fornax/v1/collections/{name}/search`
pub async fn search(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: SearchBody = read(&body)?;
    let search = convert::search(body)?;
    let found = app
        .service
        .search_text(&identity, &collection(name)?, search)
        .await?;
    Ok(Json(convert::search_reply(found)).into_response())
}
