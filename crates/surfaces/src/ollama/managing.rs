//! Handlers of the store and of memory: tags, show, ps, pull, create, copy, delete.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::{StatusCode, Uri, header};
use serde_json::{Value, json};
use service::{Error, ErrorKind, Identity, PullEvent};

use super::catalog::{self, Running, Tags};
use super::types::{CopyBody, CreateBody, ModelBody};
use super::{Answer, WIRE_VERSION, convert, in_their_words, sources};
use crate::body::{JsonObject, read};
use crate::failure::{self, Surface};
use crate::state::App;
use crate::streaming::{self, Framing, write_json};

/// `GET /api/version`
pub async fn version() -> Response {
    Json(json!({"version": WIRE_VERSION})).into_response()
}

/// `GET /api/tags`
pub async fn tags(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let models = app.service.models(&identity).await?;
    let models = models.into_iter().map(catalog::tag).collect();
    Ok(Json(Tags { models }).into_response())
}

/// `GET /api/ps`
pub async fn running(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let known = app.service.models(&identity).await?;
    let residents = app.service.residents(&identity).await?;
    let models = residents
        .into_iter()
        .map(|resident| catalog::running(resident, &known))
        .collect();
    Ok(Json(Running { models }).into_response())
}

/// `POST /api/show`
pub async fn show(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: ModelBody = read(&body)?;
    let name = convert::model(body.model.or(body.name))?;
    let details = app.service.model_details(&identity, &name).await;
    let details = details.map_err(|error| in_their_words(error, &name))?;
    Ok(Json(catalog::shown(details)).into_response())
}

/// `POST /api/copy`
pub async fn copy(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: CopyBody = read(&body)?;
    let required = |field: &str, name: Option<String>| {
        name.filter(|name| !name.is_empty())
            .ok_or_else(|| Error::invalid(field, format!("`{field}` is required")))
    };
    let source = required("source", body.source)?;
    let destination = required("destination", body.destination)?;
    let copied = app.service.copy_model(&identity, &source, &destination);
    copied
        .await
        .map_err(|error| in_their_words(error, &source))?;
    Ok(StatusCode::OK.into_response())
}

/// `DELETE /api/delete`
pub async fn delete(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: ModelBody = read(&body)?;
    let name = convert::model(body.model.or(body.name))?;
    let removed = app.service.remove_model(&identity, &name).await;
    removed.map_err(|error| in_their_words(error, &name))?;
    Ok(StatusCode::OK.into_response())
}

/// `POST /api/pull`
pub async fn pull(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: ModelBody = read(&body)?;
    let name = convert::model(body.model.or(body.name))?;
    let events: streaming::Events<PullEvent> = match sources::pull_request(&name) {
        Some(request) => app.service.pull(&identity, request).await?,
        None => {
            // A model that is there needs no registry; one that is not cannot be found without.
            let model = app
                .service
                .model(&identity, &name)
                .await
                .map_err(|error| no_registry(in_their_words(error, &name)))?;
            stream::iter([Ok(PullEvent::Finished(Box::new(model)))]).boxed()
        }
    };
    progress(&app, body.stream, events, PullLines::default()).await
}

fn no_registry(error: Error) -> Error {
    if error.kind != ErrorKind::NotFound {
        return error;
    }
    Error {
        message: format!(
            "pull model manifest: {} This server asks no registry of short names: pull \
             hf.co/owner/repository[:quantization] or the https address of a GGUF file.",
            error.message
        ),
        ..error
    }
}

/// `POST /api/create`
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: CreateBody = read(&body)?;
    let (stream, from) = (body.stream, body.from.clone().unwrap_or_default());
    let new = sources::new_model(body)?;
    let events = stream::once({
        let app = app.clone();
        async move {
            let made = app.service.create_model(&identity, new).await;
            let made = made.map_err(|error| in_their_words(error, &from))?;
            Ok(PullEvent::Finished(Box::new(made)))
        }
    });
    progress(&app, stream, events.boxed(), PullLines::default()).await
}

/// Progress in lines, or its end alone.
async fn progress(
    app: &App,
    stream: Option<bool>,
    mut events: streaming::Events<PullEvent>,
    lines: PullLines,
) -> Answer {
    if stream.unwrap_or(true) {
        let silence = app.options.keep_alive_interval;
        return Ok(streaming::respond(events, lines, silence).await?);
    }
    while let Some(event) = events.next().await {
        event?;
    }
    Ok(Json(json!({"status": "success"})).into_response())
}

/// Progress of a pull in the words that clients show.
#[derive(Default)]
struct PullLines {
    /// The last status that has no numbers: such a one is told once.
    told: &'static str,
}

impl PullLines {
    fn tell(&mut self, status: &'static str, out: &mut Vec<u8>) {
        if self.told != status {
            self.told = status;
            write_json(out, "", &json!({"status": status}), "\n");
        }
    }
}

impl Framing for PullLines {
    type Event = PullEvent;
    const CONTENT_TYPE: &'static str = "application/x-ndjson";
    const SURFACE: Surface = Surface::Ollama;
    const SILENCE: Option<&'static [u8]> = None;

    fn event(&mut self, event: PullEvent, out: &mut Vec<u8>) {
        match event {
            PullEvent::Progress {
                stage,
                done_bytes,
                total_bytes,
                digest,
            } if stage == "downloading" => {
                self.tell("pulling manifest", out);
                let name = digest.as_deref().and_then(|digest| digest.get(7..19));
                let mut line = json!({
                    "status": format!("pulling {}", name.unwrap_or("model")),
                    "completed": done_bytes,
                });
                let known = [
                    ("digest", digest.map(Value::from)),
                    ("total", total_bytes.map(Value::from)),
                ];
                for (field, value) in known {
                    if let Some(value) = value {
                        line[field] = value;
                    }
                }
                write_json(out, "", &line, "\n");
            }
            PullEvent::Progress { stage, .. } if stage == "verifying" => {
                self.tell("verifying sha256 digest", out);
            }
            PullEvent::Progress { .. } => self.tell("pulling manifest", out),
            PullEvent::Finished(_) => self.tell("writing manifest", out),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.tell("success", out);
    }

    fn failure(error: &Error, out: &mut Vec<u8>) {
        write_json(out, "", &failure::body(Surface::Ollama, error), "\n");
    }
}

type Digest = Result<Path<String>, PathRejection>;

fn digest_of(digest: Digest) -> Result<String, Error> {
    digest
        .map(|Path(digest)| digest)
        .map_err(|_| Error::invalid("digest", "the digest is not valid UTF-8"))
}

/// `HEAD /api/blobs/{digest}`
pub async fn has_blob(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    digest: Digest,
) -> Answer {
    let there = app
        .service
        .has_upload(&identity, &digest_of(digest)?)
        .await?;
    let status = if there {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    Ok(status.into_response())
}

/// `POST /api/blobs/{digest}`: weights, of any size, streamed to the disk.
pub async fn upload_blob(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    digest: Digest,
    request: Request,
) -> Answer {
    let digest = digest_of(digest)?;
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    let body = pieces(request.into_body(), app.options.body_timeout);
    app.service
        .upload(&identity, &digest, declared, body.boxed())
        .await?;
    Ok(StatusCode::CREATED.into_response())
}

/// The body piece by piece; a client that sends nothing for as long as a whole small body may take has gone.
fn pieces(
    body: Body,
    patience: std::time::Duration,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::unfold(Some(body.into_data_stream()), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout(patience, body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(error))) => {
                let message = format!("the upload could not be read: {error}");
                Some((Err(Error::new(ErrorKind::InvalidRequest, message)), None))
            }
            Err(_elapsed) => {
                let message = "the upload stopped";
                Some((Err(Error::new(ErrorKind::InvalidRequest, message)), None))
            }
        }
    })
}

/// What Ollama does with its own registry and accounts, and this server does not.
pub async fn not_here(uri: Uri) -> Answer {
    Err(Error::new(
        ErrorKind::NotSupported,
        format!(
            "{} is not supported: this server has no registry and no accounts of Ollama's",
            uri.path()
        ),
    )
    .into())
}
