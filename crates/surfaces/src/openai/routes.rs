//! Handlers: check the shape, call one use case, write the result.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use http::{HeaderValue, header};
use service::{CompletionRequest, Error, ErrorKind, Generation, Identity, ModelSummary};

use super::chat_reply::{ChatAnswer, ChatFrames};
use super::completion_reply::{TextAnswer, TextFrames, TextShape};
use super::convert;
use super::fields::{self, Request, in_their_words};
use super::replies::{ModelList, ModelReply};
use super::reply::Head;
use super::settings;
use super::stream::{self as sse, Events};
use super::types::{ChatBody, CompletionBody, EmbeddingsBody, GenerationBody};
use crate::body::{JsonObject, read};
use crate::failure::{Failure, Surface};
use crate::freshness::Fresh;
use crate::state::App;

/// An error in OpenAI's shape.
type Answer = Result<Response, OpenAiFailure>;

/// Wraps [`Failure`] so that `?` on a service error picks this surface.
pub struct OpenAiFailure(Failure);

impl From<Error> for OpenAiFailure {
    fn from(error: Error) -> Self {
        OpenAiFailure(Failure::new(Surface::OpenAi, error))
    }
}

impl IntoResponse for OpenAiFailure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Prompts of one request that are generated at the same time; the others wait, so that one request cannot fill the
/// model's queue.
const PROMPTS_AT_ONCE_MAX: usize = 8;

/// First path segments under `/v1/` of OpenAI's API that are not built here: they answer 501, not 404.
const ELSEWHERE: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "chatkit",
    "containers",
    "conversations",
    "edits",
    "evals",
    "fine_tuning",
    "fine-tunes",
    "images",
    "moderations",
    "organization",
    "realtime",
    "skills",
    "threads",
    "uploads",
    "videos",
];

/// Whether `path` belongs to a part of OpenAI's API that this server does not have.
pub fn is_known_elsewhere(path: &str) -> bool {
    path.strip_prefix("/v1/")
        .and_then(|rest| rest.split('/').next())
        .is_some_and(|first| ELSEWHERE.contains(&first))
}

/// `GET /v1/models`
pub async fn list_models(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
) -> Answer {
    let data = app
        .service
        .models(&identity)
        .await?
        .into_iter()
        .map(model_reply)
        .collect();
    Ok(Json(ModelList {
        object: "list",
        data,
    })
    .into_response())
}

/// `GET /v1/models/{id}`; ids contain `/` and `:`, raw or percent-encoded.
pub async fn get_model(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(id) =
        id.map_err(|_| Error::invalid("model", "the model's name is not valid UTF-8"))?;
    Ok(Json(model_reply(app.service.model(&identity, &id).await?)).into_response())
}

fn model_reply(model: ModelSummary) -> ModelReply {
    ModelReply {
        id: model.name,
        object: "model",
        created: model.created_unix,
        owned_by: "fornax",
    }
}

/// `…/v1/chat/completions/{id}`: completions are not kept.
pub async fn stored() -> Answer {
    Err(Error::new(
        ErrorKind::NotFound,
        "chat completions are not stored on this server",
    )
    .into())
}

/// `POST /v1/chat/completions`
pub async fn chat(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    fields::refuse_unsupported(Request::Chat, &body)?;
    let generation_body: GenerationBody = read(&body)?;
    let chat_body: ChatBody = read(&body)?;
    drop(body);
    let mut request = convert::chat_request(chat_body, &generation_body)?;
    request.options.fresh = fresh;
    check_context(&app, &identity, &request.model, &generation_body).await?;
    let (choices, logprobs) = (request.options.choices, request.options.logprobs.is_some());

    let generation = app
        .service
        .chat(&identity, request)
        .await
        .map_err(chat_words)?;
    let head = head(&app, "chatcmpl-", &generation);
    let mut events = generation
        .events
        .map(|event| event.map(|event| (0, event)).map_err(chat_words));
    if let Some(include_usage) = streamed(&generation_body) {
        let frames = ChatFrames::new(head, choices, include_usage, logprobs);
        return Ok(sse::respond(Box::pin(events), frames, app.options.keep_alive_interval).await?);
    }
    let mut answer = ChatAnswer::new(head, choices, logprobs);
    while let Some(event) = events.next().await {
        answer.event(event?.1);
    }
    whole(answer.finish())
}

/// `POST /v1/completions`
pub async fn complete(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    fields::refuse_unsupported(Request::Completion, &body)?;
    let generation_body: GenerationBody = read(&body)?;
    let completion_body: CompletionBody = read(&body)?;
    drop(body);
    let mut requests = convert::completion_requests(&completion_body, &generation_body)?;
    for request in &mut requests {
        request.options.fresh = fresh;
    }
    check_context(&app, &identity, &completion_body.model, &generation_body).await?;
    let shape = TextShape {
        prompts: requests.len(),
        choices: generation_body.n.unwrap_or(1),
        logprobs: completion_body.logprobs.is_some(),
    };

    let mut requests = requests.into_iter();
    let Some(first) = requests.next() else {
        return Err(Error::invalid("prompt", "`prompt` is empty").into());
    };
    // The first is started before anything is answered: it gives the head, and an error its status.
    let first = app
        .service
        .complete(&identity, first)
        .await
        .map_err(text_words)?;
    let head = head(&app, "cmpl-", &first);
    let all = events_of_all(app.clone(), identity, first, requests.collect());
    let mut events: Events = all.map(|event| event.map_err(text_words)).boxed();
    if let Some(include_usage) = streamed(&generation_body) {
        let frames = TextFrames::new(head, shape, include_usage);
        return Ok(sse::respond(events, frames, app.options.keep_alive_interval).await?);
    }
    let mut answer = TextAnswer::new(head, shape);
    while let Some(event) = events.next().await {
        answer.event(event?);
    }
    whole(answer.finish())
}

/// The events of every prompt, a few prompts at a time; each prompt's own events keep their order.
fn events_of_all(
    app: App,
    identity: Identity,
    first: Generation,
    rest: Vec<CompletionRequest>,
) -> Events {
    let first = first
        .events
        .map(|event| event.map(|event| (0, event)))
        .boxed();
    if rest.is_empty() {
        return first;
    }
    let rest = rest.into_iter().enumerate().map(move |(index, request)| {
        let (app, identity) = (app.clone(), identity.clone());
        stream::once(async move {
            match app.service.complete(&identity, request).await {
                Ok(generation) => generation
                    .events
                    .map(move |event| event.map(|event| (index + 1, event)))
                    .boxed(),
                Err(error) => stream::once(async move { Err(error) }).boxed(),
            }
        })
        .flatten()
        .boxed()
    });
    stream::iter(std::iter::once(first).chain(rest))
        .flatten_unordered(PROMPTS_AT_ONCE_MAX)
        .boxed()
}

/// `POST /v1/embeddings`
pub async fn embed(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    fields::refuse_unsupported(Request::Embeddings, &body)?;
    let embeddings_body: EmbeddingsBody = read(&body)?;
    drop(body);
    let (mut request, encoding) = convert::embed_request(embeddings_body)?;
    request.fresh = fresh;
    let embeddings = app
        .service
        .embed(&identity, request)
        .await
        .map_err(|error| in_their_words(Request::Embeddings, error))?;
    Ok(Json(convert::embedding_list(&embeddings, encoding)).into_response())
}

/// `options.num_ctx` is honoured when the model's context is at least that long, and refused otherwise.
async fn check_context(
    app: &App,
    identity: &Identity,
    model: &str,
    body: &GenerationBody,
) -> Result<(), Error> {
    let Some(wanted) = settings::context_wanted(body)? else {
        return Ok(());
    };
    let model = app.service.model(identity, model).await?;
    if model.context_length < wanted {
        let message = format!(
            "the context of `{}` has {} tokens, not {wanted}",
            model.name, model.context_length
        );
        return Err(Error::invalid("options.num_ctx", message));
    }
    Ok(())
}

fn chat_words(error: Error) -> Error {
    in_their_words(Request::Chat, error)
}

fn text_words(error: Error) -> Error {
    in_their_words(Request::Completion, error)
}

/// Whether to stream, and then whether with usage.
fn streamed(body: &GenerationBody) -> Option<bool> {
    let include_usage = body
        .stream_options
        .as_ref()
        .and_then(|options| options.include_usage)
        .unwrap_or(false);
    body.stream.unwrap_or(false).then_some(include_usage)
}

fn head(app: &App, prefix: &str, generation: &Generation) -> Head {
    Head::of(prefix, generation, (app.options.now_unix)())
}

fn whole(reply: Option<Vec<u8>>) -> Answer {
    match reply {
        Some(json) => Ok((
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )],
            json,
        )
            .into_response()),
        None => {
            Err(Error::new(ErrorKind::Internal, "the generation ended without a result").into())
        }
    }
}
