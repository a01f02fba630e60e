//! Handlers that run a model: chat, generate, embed.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::IntoResponse;
use futures::stream::{self, StreamExt};
use service::{ChatRequest, EmbedRequest, Error, Generation, GenerationEvent, Identity};
use tokio::time::Instant;

use super::convert::{self, Prompted, Thinking};
use super::replies::{EmbedReply, EmbeddingReply};
use super::reply::{Head, Lines, Route, Step, Whole, nanoseconds};
use super::types::{ChatBody, EmbedBody, EmbeddingBody, GenerateBody, GenerationBody};
use super::{Answer, conversation, in_their_words};
use crate::body::{JsonObject, read};
use crate::freshness::Fresh;
use crate::state::App;
use crate::streaming;

/// `POST /api/chat`
pub async fn chat(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let call = Call::begin(app, identity, Route::Chat);
    let mut generation = convert::generation(read::<GenerationBody>(&body)?)?;
    let body: ChatBody = read(&body)?;
    generation.options.fresh = fresh;
    let messages = conversation::messages(body.messages.unwrap_or_default())?;
    let tools = convert::tools(body.tools.unwrap_or_default())?;
    if messages.is_empty() {
        return call.only_memory(&generation).await;
    }
    call.check(&generation).await?;
    let stream = generation.stream;
    let request = convert::chat_request(generation, messages, tools);
    let model = request.model.clone();
    let running = call.app.service.chat(&call.identity, request).await;
    let running = running.map_err(|error| in_their_words(error, &model))?;
    call.answer(running, stream, None).await
}

/// `POST /api/generate`
pub async fn generate(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let call = Call::begin(app, identity, Route::Generate);
    let mut generation = convert::generation(read::<GenerationBody>(&body)?)?;
    let body: GenerateBody = read(&body)?;
    generation.options.fresh = fresh;
    if body.prompt.as_ref().is_none_or(String::is_empty) && body.suffix.is_none() {
        return call.only_memory(&generation).await;
    }
    call.check(&generation).await?;
    let (stream, model) = (generation.stream, generation.model.clone());
    let service = &call.app.service;
    let (running, exchange) = match convert::prompted(generation, body)? {
        Prompted::Raw(request) => (service.complete(&call.identity, *request).await, None),
        Prompted::Chat(request) => {
            let exchange = (*request).clone();
            (service.chat(&call.identity, *request).await, Some(exchange))
        }
    };
    let running = running.map_err(|error| in_their_words(error, &model))?;
    call.answer(running, stream, exchange).await
}

/// `POST /api/embed`
pub async fn embed(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let began = Instant::now();
    let mut request = convert::embed_request(read::<EmbedBody>(&body)?)?;
    request.fresh = fresh;
    let (model, vectors, width, tokens, load) = match vectors(&app, &identity, request).await? {
        Vectors::None { model, load } => (model, Vec::new(), 1, 0, load),
        Vectors::Some(made) => (
            made.model,
            made.vectors,
            made.dimensions,
            made.prompt_tokens,
            made.load,
        ),
    };
    Ok(Json(EmbedReply {
        model: &model,
        embeddings: vectors.chunks_exact((width as usize).max(1)).collect(),
        total_duration: nanoseconds(began.elapsed()),
        load_duration: nanoseconds(load),
        prompt_eval_count: tokens,
    })
    .into_response())
}

/// `POST /api/embeddings`
pub async fn embeddings(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let body = convert::newer(read::<EmbeddingBody>(&body)?);
    let mut request = convert::embed_request(body)?;
    request.fresh = fresh;
    let embedding = match vectors(&app, &identity, request).await? {
        Vectors::None { .. } => Vec::new(),
        Vectors::Some(made) => made.vectors,
    };
    Ok(Json(EmbeddingReply { embedding }).into_response())
}

enum Vectors {
    /// There was nothing to embed; the model is in memory now.
    None {
        model: String,
        load: Duration,
    },
    Some(service::Embeddings),
}

async fn vectors(app: &App, identity: &Identity, request: EmbedRequest) -> Result<Vectors, Error> {
    let model = request.model.clone();
    let theirs = |error: Error| in_their_words(error, &model);
    if request.inputs.is_empty() {
        let began = Instant::now();
        let loading = app.service.load(identity, &model, request.keep_alive);
        let resident = loading.await.map_err(theirs)?;
        return Ok(Vectors::None {
            model: resident.name,
            load: began.elapsed(),
        });
    }
    let made = app.service.embed(identity, request).await;
    made.map(Vectors::Some).map_err(theirs)
}

/// One request on its way.
struct Call {
    app: App,
    identity: Identity,
    route: Route,
    began: Instant,
}

impl Call {
    fn begin(app: App, identity: Identity, route: Route) -> Self {
        Call {
            app,
            identity,
            route,
            began: Instant::now(),
        }
    }

    /// Refuses what the model cannot do. A context that is wanted longer than the model's is what the model has, as with
    /// Ollama; a prompt that does not fit is refused when it comes.
    async fn check(&self, generation: &convert::Generation) -> Result<(), Error> {
        if generation.thinking != Thinking::On {
            return Ok(());
        }
        let model = &generation.model;
        let capabilities = self.app.service.model_capabilities(&self.identity, model);
        let capabilities = capabilities
            .await
            .map_err(|error| in_their_words(error, model))?;
        if capabilities.reasons {
            return Ok(());
        }
        let message = format!("{model:?} does not support thinking");
        Err(Error::invalid("think", message))
    }

    fn head(&self, model: String, load: Duration) -> Head {
        Head {
            route: self.route,
            model,
            now_unix: self.app.options.now_unix.clone(),
            began: self.began,
            load,
        }
    }

    /// A request without a prompt: it brings the model into memory, or with a `keep_alive` of 0 out of it.
    async fn only_memory(&self, generation: &convert::Generation) -> Answer {
        let (service, model) = (&self.app.service, &generation.model);
        let keep_alive = generation.options.keep_alive;
        let theirs = |error: Error| in_their_words(error, model);
        let reason = if keep_alive == Some(Duration::ZERO) {
            service
                .unload(&self.identity, model)
                .await
                .map_err(theirs)?;
            "unload"
        } else {
            let loading = service.load(&self.identity, model, keep_alive);
            loading.await.map_err(theirs)?;
            "load"
        };
        let head = self.head(model.clone(), Duration::ZERO);
        Ok(Json(head.nothing_said(reason)).into_response())
    }

    /// The answer in lines or whole. With `exchange` its tokens and the prompt's come with its end.
    async fn answer(
        &self,
        running: Generation,
        stream: bool,
        exchange: Option<ChatRequest>,
    ) -> Answer {
        let head = self.head(running.model.clone(), running.load);
        let mut steps = self.steps(running, exchange);
        if stream {
            let silence = self.app.options.keep_alive_interval;
            return Ok(streaming::respond(steps, Lines::new(head), silence).await?);
        }
        let mut answer = Whole::new(head);
        while let Some(step) = steps.next().await {
            answer.add(step?);
        }
        Ok(Json(answer.finish()?).into_response())
    }

    fn steps(&self, running: Generation, exchange: Option<ChatRequest>) -> streaming::Events<Step> {
        struct Steps {
            events: streaming::Events<GenerationEvent>,
            app: App,
            identity: Identity,
            exchange: Option<ChatRequest>,
            text: String,
        }
        let steps = Steps {
            events: running.events,
            app: self.app.clone(),
            identity: self.identity.clone(),
            // The model has left memory when such an answer ends; it is not brought back to count.
            exchange: exchange.filter(|request| request.options.keep_alive != Some(Duration::ZERO)),
            text: String::new(),
        };
        stream::unfold(steps, |mut steps| async move {
            let event = match steps.events.next().await? {
                Ok(event) => event,
                Err(error) => return Some((Err(error), steps)),
            };
            let mut context = None;
            match &event {
                GenerationEvent::Text { text, .. } => steps.text.push_str(text),
                GenerationEvent::Finished { .. } => {
                    if let Some(request) = steps.exchange.take() {
                        let service = &steps.app.service;
                        let tokens =
                            service.chat_tokens(&steps.identity, &request, Some(&steps.text));
                        // The answer is there; that it cannot be continued is no reason to lose it.
                        context = tokens.await.ok();
                    }
                }
                _ => {}
            }
            Some((Ok(Step { event, context }), steps))
        })
        .boxed()
    }
}
