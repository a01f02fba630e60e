//! The protocol's calls, each a few lines over the serving loop's handle.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::convert;
use super::load::{self, Loaded};
use crate::runner::protocol as wire;
use crate::runner::protocol::runner_server::Runner;
use crate::serving::grammar::{Constraint, Grammar};
use crate::serving::handle::{EmbedOptions, TokenizeOptions, event_channel};
use crate::serving::request::{Event, Failure, FailureKind};

/// Constraints compiled at a time: each takes a processor that the engine would use.
const COMPILATIONS_MAX: usize = 2;
/// Load events that may wait for their reader; progress beyond it is dropped.
const LOAD_EVENTS_MAX: usize = 64;

/// The service of one runner.
pub(super) struct RunnerService {
    model: PathBuf,
    state: Arc<Mutex<State>>,
    compilations: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

enum State {
    Empty,
    Loading,
    Ready(Arc<Loaded>),
}

impl RunnerService {
    /// A service for the model at `model`, not loaded yet, which sets `ended` after an unload.
    pub(super) fn new(model: PathBuf, ended: watch::Sender<bool>) -> Self {
        Self {
            model,
            state: Arc::new(Mutex::new(State::Empty)),
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
            ended,
        }
    }

    fn loaded(&self) -> Result<Arc<Loaded>, Status> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ready(loaded) => Ok(loaded.clone()),
            State::Empty | State::Loading => {
                Err(Status::failed_precondition("the model is not loaded"))
            }
        }
    }

    async fn compile(
        &self,
        loaded: &Arc<Loaded>,
        constraint: Constraint,
    ) -> Result<Grammar, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(FailureKind::Engine, error.to_string());
        let _place = self
            .compilations
            .acquire()
            .await
            .map_err(|error| failed(&error))?;
        let grammars = loaded.grammars.clone();
        tokio::task::spawn_blocking(move || grammars.compile(&constraint))
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| Failure::invalid("constraint", error.to_string()))
    }

    async fn submit(
        &self,
        loaded: &Arc<Loaded>,
        mut request: wire::GenerateRequest,
    ) -> Result<mpsc::Receiver<Event>, Failure> {
        let grammar = match convert::constraint(&mut request) {
            Some(constraint) => Some(self.compile(loaded, constraint).await?),
            None => None,
        };
        let (events, receiver) = event_channel(request.choices);
        loaded
            .handle
            .generate(convert::generate_job(request, grammar, events)?)?;
        Ok(receiver)
    }
}

type LoadStream = ReceiverStream<Result<wire::LoadEvent, Status>>;

#[tonic::async_trait]
impl Runner for RunnerService {
    type LoadStream = LoadStream;
    type GenerateStream = GenerateStream;

    async fn load(
        &self,
        request: Request<wire::LoadRequest>,
    ) -> Result<Response<LoadStream>, Status> {
        let request = request.into_inner();
        let named = Path::new(&request.model_path);
        if !request.model_path.is_empty() && named != self.model {
            return Err(Status::invalid_argument(
                "this runner was started for another model file",
            ));
        }
        let (events, receiver) = mpsc::channel(LOAD_EVENTS_MAX);
        let before = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                State::Empty => std::mem::replace(&mut *state, State::Loading),
                State::Loading => State::Loading,
                State::Ready(loaded) => State::Ready(loaded.clone()),
            }
        };
        match before {
            State::Empty => {
                let (state, model) = (self.state.clone(), self.model.clone());
                tokio::spawn(load_and_tell(state, model, request, events));
            }
            State::Loading => {
                return Err(Status::failed_precondition(
                    "the model is being loaded already",
                ));
            }
            State::Ready(loaded) => {
                let ready = wire::load_event::Event::Ready(loaded.facts.clone());
                // The channel is new and empty.
                let _ = events.try_send(Ok(wire::LoadEvent { event: Some(ready) }));
            }
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn generate(
        &self,
        request: Request<wire::GenerateRequest>,
    ) -> Result<Response<GenerateStream>, Status> {
        let loaded = self.loaded()?;
        let stream = match self.submit(&loaded, request.into_inner()).await {
            Ok(events) => GenerateStream {
                events: Some(events),
                ready: VecDeque::new(),
            },
            Err(failure) => GenerateStream {
                events: None,
                ready: VecDeque::from([convert::failed_message(failure)]),
            },
        };
        Ok(Response::new(stream))
    }

    async fn embed(
        &self,
        request: Request<wire::EmbedRequest>,
    ) -> Result<Response<wire::EmbedReply>, Status> {
        let loaded = self.loaded()?;
        let request = request.into_inner();
        let inputs = convert::inputs(request.inputs).map_err(convert::status)?;
        let options = EmbedOptions {
            normalize: request.normalize,
            truncate: request.truncate,
        };
        let embedded = loaded
            .handle
            .embed(inputs, options)
            .await
            .map_err(convert::status)?;
        let vectors = embedded
            .vectors
            .iter()
            .flatten()
            .flat_map(|value| value.to_le_bytes());
        Ok(Response::new(wire::EmbedReply {
            dimensions: loaded.facts.embedding_dimensions,
            vectors: vectors.collect(),
            tokens: embedded.tokens,
        }))
    }

    async fn rerank(
        &self,
        request: Request<wire::RerankRequest>,
    ) -> Result<Response<wire::RerankReply>, Status> {
        let request = request.into_inner();
        let reranked = self
            .loaded()?
            .handle
            .rerank(request.query, request.documents)
            .await
            .map_err(convert::status)?;
        Ok(Response::new(wire::RerankReply {
            scores: reranked.scores,
            tokens: reranked.tokens,
        }))
    }

    async fn tokenize(
        &self,
        request: Request<wire::TokenizeRequest>,
    ) -> Result<Response<wire::TokenizeReply>, Status> {
        let request = request.into_inner();
        let options = TokenizeOptions {
            add_special: request.add_special,
            parse_special: request.parse_special,
        };
        let ids = self
            .loaded()?
            .handle
            .tokenize(request.text, options)
            .await
            .map_err(convert::status)?;
        Ok(Response::new(wire::TokenizeReply { ids }))
    }

    async fn detokenize(
        &self,
        request: Request<wire::DetokenizeRequest>,
    ) -> Result<Response<wire::DetokenizeReply>, Status> {
        let request = request.into_inner();
        let text = self
            .loaded()?
            .handle
            .detokenize(request.ids, request.special)
            .await
            .map_err(convert::status)?;
        Ok(Response::new(wire::DetokenizeReply { text }))
    }

    async fn stats(
        &self,
        _request: Request<wire::StatsRequest>,
    ) -> Result<Response<wire::StatsReply>, Status> {
        let stats = self
            .loaded()?
            .handle
            .stats()
            .await
            .map_err(convert::status)?;
        let resident = platform::memory::own().map_or(0, |memory| memory.resident_bytes);
        Ok(Response::new(convert::stats(&stats, resident)))
    }

    async fn unload(
        &self,
        request: Request<wire::UnloadRequest>,
    ) -> Result<Response<wire::UnloadReply>, Status> {
        let within = Duration::from_millis(request.into_inner().deadline_ms);
        // A model that was never loaded has nothing to drain.
        if let Ok(loaded) = self.loaded() {
            loaded.handle.drain(within).await.map_err(convert::status)?;
        }
        // The server stops accepting; this answer still goes out.
        let _ = self.ended.send(true);
        Ok(Response::new(wire::UnloadReply {}))
    }
}

/// Loads, telling progress, and sets the state by the outcome.
async fn load_and_tell(
    state: Arc<Mutex<State>>,
    model: PathBuf,
    request: wire::LoadRequest,
    events: mpsc::Sender<Result<wire::LoadEvent, Status>>,
) {
    use wire::load_event::Event;
    let (progress, mut told) = mpsc::channel(LOAD_EVENTS_MAX);
    let (ready, mut outcome) = oneshot::channel();
    let started = load::start(model, request, progress, ready);
    let loaded = match started {
        // The engine's thread keeps its end of `progress` for as long as it serves: the outcome ends the wait.
        Ok(()) => loop {
            tokio::select! {
                loaded = &mut outcome => break loaded.unwrap_or_else(|_| {
                    Err(load::failure(
                        "engine",
                        "the engine's thread ended while loading",
                    ))
                }),
                Some(progress) = told.recv() => {
                    let event = Some(Event::Progress(progress));
                    // A reader that is behind misses progress, not the end.
                    let _ = events.try_send(Ok(wire::LoadEvent { event }));
                }
            }
        },
        Err(error) => Err(load::failure(
            "engine",
            format!("no engine thread: {error}"),
        )),
    };
    let (next, event) = match loaded {
        Ok(loaded) => {
            let event = Event::Ready(loaded.facts.clone());
            (State::Ready(Arc::new(loaded)), event)
        }
        Err(failure) => (State::Empty, Event::Failed(failure)),
    };
    *state.lock().unwrap_or_else(PoisonError::into_inner) = next;
    let event = Some(event);
    // Who asked may be gone; a loaded model stays for the next.
    let _ = events.send(Ok(wire::LoadEvent { event })).await;
}

/// The events of one request; dropping it closes the channel, which cancels the request.
pub(super) struct GenerateStream {
    events: Option<mpsc::Receiver<Event>>,
    ready: VecDeque<wire::GenerateEvent>,
}

impl Stream for GenerateStream {
    type Item = Result<wire::GenerateEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            let Some(events) = &mut self.events else {
                return Poll::Ready(None);
            };
            match events.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(event)) => self.ready.extend(convert::messages(event)),
            }
        }
    }
}
