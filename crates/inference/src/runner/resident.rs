//! One loaded runner as the parent knows it, the right to use it, and one stream from it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};

use super::client::{ProtocolClient, is_connection_loss};
use super::error::{RunnerError, RunnerErrorKind};
use super::options::{LoadOptions, ModelSource};
use super::protocol::{
    DetokenizeRequest, EmbedReply, EmbedRequest, GenerateEvent, GenerateRequest, ModelFacts,
    RerankReply, RerankRequest, StatsReply, StatsRequest, TokenizeRequest, generate_event,
};

/// After a connection breaks, how long we wait to learn how the process ended.
const END_NEWS_TIMEOUT: Duration = Duration::from_secs(1);
/// A freshly loaded model is not unloaded as unused before whoever asked for it had time to use it.
const FIRST_USE_GRACE: Duration = Duration::from_secs(5);
/// What a runner may be late with enforcing a request's deadline before the parent does.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);
/// A runner that does not tell its figures in this time is too busy to; the scrape must not wait for it.
const STATS_TIMEOUT: Duration = Duration::from_secs(1);

/// How a runner ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// By our wish.
    Stopped,
    /// On its own; the text reads well after "the runner".
    Crashed(String),
}

/// A loaded runner. Shared by the supervisor's table, its keeper task, and everyone who uses it.
pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) model: ModelSource,
    pub(super) load: LoadOptions,
    pub(super) client: ProtocolClient,
    pub(super) facts: ModelFacts,
    pub(super) pid: u32,
    pub(super) loaded: Instant,
    pub(super) loaded_unix: u64,
    pub(super) memory_bytes: AtomicU64,
    /// Only grows from zero under the supervisor's lock, so that "idle" seen under that lock stays true there.
    in_flight: AtomicUsize,
    usage: Mutex<Usage>,
    /// Counts the signs of life of its requests: events and replies.
    heard: AtomicU64,
    /// Rings when the runner becomes idle, or how long it may stay so has changed.
    pub(super) idle_changed: Notify,
    /// `Some(deadline)` tells the keeper to end it.
    pub(super) stop: watch::Sender<Option<Duration>>,
    pub(super) ended: watch::Sender<Option<Ended>>,
    /// Figures of the last poll, to turn the runner's totals into increments.
    pub(super) polled: Mutex<StatsReply>,
}

struct Usage {
    last_used: Option<Instant>,
    keep_alive: Option<Duration>,
    pinned: bool,
}

/// What a new [`Runner`] is made of.
pub(super) struct NewRunner {
    pub(super) id: u64,
    pub(super) model: ModelSource,
    pub(super) load: LoadOptions,
    pub(super) client: ProtocolClient,
    pub(super) facts: ModelFacts,
    pub(super) pid: u32,
    pub(super) loaded_unix: u64,
    pub(super) memory_bytes: u64,
    pub(super) keep_alive: Option<Duration>,
    pub(super) pinned: bool,
}

impl Runner {
    pub(super) fn new(new: NewRunner) -> Self {
        Runner {
            id: new.id,
            model: new.model,
            load: new.load,
            client: new.client,
            facts: new.facts,
            pid: new.pid,
            loaded: Instant::now(),
            loaded_unix: new.loaded_unix,
            memory_bytes: AtomicU64::new(new.memory_bytes),
            in_flight: AtomicUsize::new(0),
            usage: Mutex::new(Usage {
                last_used: None,
                keep_alive: new.keep_alive,
                pinned: new.pinned,
            }),
            heard: AtomicU64::new(0),
            idle_changed: Notify::new(),
            stop: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            polled: Mutex::new(StatsReply::default()),
        }
    }

    /// Uses it; the caller holds the supervisor's lock or another [`InUse`].
    pub(super) fn in_use(self: &Arc<Self>) -> InUse {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InUse(self.clone())
    }

    /// Number of leases and streams.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// A number that changes when one of its requests hears from it.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// When it was last let go, or was loaded.
    pub(super) fn last_used(&self) -> Instant {
        self.usage().last_used.unwrap_or(self.loaded)
    }

    /// When it leaves if nobody uses it; `None` while somebody does, or when it stays.
    pub(super) fn expires(&self) -> Option<Instant> {
        if self.in_flight() > 0 {
            return None;
        }
        let usage = self.usage();
        if usage.pinned {
            return None;
        }
        let keep_alive = usage.keep_alive?;
        // A time that no clock can name is for ever.
        match usage.last_used {
            Some(last) => last.checked_add(keep_alive),
            None => self.loaded.checked_add(keep_alive.max(FIRST_USE_GRACE)),
        }
    }

    pub(super) fn set_pinned(&self, pinned: bool) {
        self.usage().pinned = pinned;
        self.idle_changed.notify_one();
    }

    fn set_keep_alive(&self, keep_alive: Option<Duration>) {
        self.usage().keep_alive = keep_alive;
        self.idle_changed.notify_one();
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its figures now; `None` when it does not answer in time.
    pub(super) async fn stats(&self) -> Option<StatsReply> {
        let mut client = self.client.clone();
        let reply = timeout(STATS_TIMEOUT, client.stats(StatsRequest {})).await;
        Some(reply.ok()?.ok()?.into_inner())
    }

    /// The error behind a status: what the runner said, or how it died.
    async fn explain(&self, status: Status) -> RunnerError {
        if !is_connection_loss(&status) {
            return status.into();
        }
        let mut ended = self.ended.subscribe();
        let news = timeout(END_NEWS_TIMEOUT, ended.wait_for(Option::is_some)).await;
        let news = match news {
            Ok(Ok(news)) => (*news).clone(),
            _ => None,
        };
        let name = &self.model.name;
        match news {
            Some(Ended::Crashed(how)) => RunnerError::new(
                RunnerErrorKind::Crashed,
                format!("the runner of {name} {how}"),
            ),
            Some(Ended::Stopped) => RunnerError::new(
                RunnerErrorKind::Unavailable,
                format!("{name} was unloaded while it answered"),
            ),
            None => RunnerError::new(
                RunnerErrorKind::Engine,
                format!("the connection to the runner of {name} broke: {status}"),
            ),
        }
    }
}

/// Counts as one use of a runner while it lives.
pub(super) struct InUse(Arc<Runner>);

impl Drop for InUse {
    fn drop(&mut self) {
        // The time first: whoever sees zero must see since when.
        self.0.usage().last_used = Some(Instant::now());
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle_changed.notify_one();
        }
    }
}

/// The right to use a loaded model: while it or a stream from it lives, the model is not evicted. An explicit unload and a
/// shutdown end it nevertheless, after their drain time.
pub struct Lease {
    in_use: InUse,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lease")
            .field("model", &self.in_use.0.model.name)
            .field("pid", &self.in_use.0.pid)
            .finish()
    }
}

impl Lease {
    pub(super) fn new(in_use: InUse) -> Self {
        Lease { in_use }
    }

    fn runner(&self) -> &Arc<Runner> {
        &self.in_use.0
    }

    /// What was loaded.
    pub fn model(&self) -> &ModelSource {
        &self.runner().model
    }

    /// What the loaded model is and can do.
    pub fn facts(&self) -> &ModelFacts {
        &self.runner().facts
    }

    /// Process number of the runner, for logs.
    pub fn pid(&self) -> u32 {
        self.runner().pid
    }

    /// How long the model stays after its last use from now on; `None`: until its memory is needed. Zero: it leaves when
    /// the last lease and stream do.
    pub fn set_keep_alive(&self, keep_alive: Option<Duration>) {
        self.runner().set_keep_alive(keep_alive);
    }

    /// Starts a generation. Dropping the stream cancels it in the runner.
    ///
    /// # Errors
    /// What the runner refuses before it accepts the request; later failures come as the stream's last item.
    pub async fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, RunnerError> {
        let choices_open = request.choices.max(1);
        let deadline = (request.deadline_ms > 0)
            .then(|| Instant::now() + Duration::from_millis(request.deadline_ms) + DEADLINE_GRACE);
        let mut client = self.runner().client.clone();
        let reply = client.generate(request).await;
        self.runner().hear();
        match reply {
            Ok(reply) => Ok(GenerateStream::new(Live {
                events: reply.into_inner(),
                in_use: self.runner().in_use(),
                choices_open,
                deadline,
            })),
            Err(status) => Err(self.runner().explain(status).await),
        }
    }

    /// Embeds each input.
    ///
    /// # Errors
    /// As the runner says, or how it died.
    pub async fn embed(&self, request: EmbedRequest) -> Result<EmbedReply, RunnerError> {
        let reply = self.runner().client.clone().embed(request).await;
        self.reply(reply).await
    }

    /// Scores each document against the query.
    ///
    /// # Errors
    /// As the runner says, or how it died.
    pub async fn rerank(&self, request: RerankRequest) -> Result<RerankReply, RunnerError> {
        let reply = self.runner().client.clone().rerank(request).await;
        self.reply(reply).await
    }

    /// Tokens of a text.
    ///
    /// # Errors
    /// As the runner says, or how it died.
    pub async fn tokenize(&self, request: TokenizeRequest) -> Result<Vec<u32>, RunnerError> {
        let reply = self.runner().client.clone().tokenize(request).await;
        Ok(self.reply(reply).await?.ids)
    }

    /// Bytes of tokens; not always whole UTF-8.
    ///
    /// # Errors
    /// As the runner says, or how it died.
    pub async fn detokenize(&self, request: DetokenizeRequest) -> Result<Vec<u8>, RunnerError> {
        let reply = self.runner().client.clone().detokenize(request).await;
        Ok(self.reply(reply).await?.text)
    }

    async fn reply<T>(&self, reply: Result<tonic::Response<T>, Status>) -> Result<T, RunnerError> {
        self.runner().hear();
        match reply {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => Err(self.runner().explain(status).await),
        }
    }
}

/// Events of one generation, in order. A failure is the last item, an `Err`; without one, every choice ends with
/// `Finished`. Dropping it cancels the generation within one step of the engine.
pub struct GenerateStream {
    events: Pin<Box<dyn Stream<Item = Result<GenerateEvent, RunnerError>> + Send>>,
}

impl std::fmt::Debug for GenerateStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GenerateStream")
            .finish_non_exhaustive()
    }
}

struct Live {
    events: Streaming<GenerateEvent>,
    in_use: InUse,
    choices_open: u32,
    deadline: Option<Instant>,
}

impl GenerateStream {
    fn new(live: Live) -> Self {
        GenerateStream {
            events: Box::pin(futures::stream::unfold(Some(live), |live| async move {
                let mut live = live?;
                let item = live.next().await?;
                let rest = item.is_ok().then_some(live);
                Some((item, rest))
            })),
        }
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<GenerateEvent, RunnerError>> {
        std::future::poll_fn(|context| self.events.as_mut().poll_next(context)).await
    }
}

impl Stream for GenerateStream {
    type Item = Result<GenerateEvent, RunnerError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl Live {
    async fn next(&mut self) -> Option<Result<GenerateEvent, RunnerError>> {
        let message = match self.deadline {
            Some(deadline) => match timeout_at(deadline, self.events.message()).await {
                Ok(message) => message,
                Err(_) => {
                    return Some(Err(RunnerError::new(
                        RunnerErrorKind::Deadline,
                        "the request's deadline passed",
                    )));
                }
            },
            None => self.events.message().await,
        };
        self.in_use.0.hear();
        match message {
            Ok(Some(event)) => match event.event {
                Some(generate_event::Event::Failed(failure)) => Some(Err(failure.into())),
                Some(generate_event::Event::Finished(_)) => {
                    self.choices_open = self.choices_open.saturating_sub(1);
                    Some(Ok(event))
                }
                _ => Some(Ok(event)),
            },
            Ok(None) if self.choices_open == 0 => None,
            Ok(None) => Some(Err(RunnerError::new(
                RunnerErrorKind::Engine,
                format!(
                    "the runner of {} ended a stream before every choice was finished",
                    self.in_use.0.model.name
                ),
            ))),
            Err(status) => Some(Err(self.in_use.0.explain(status).await)),
        }
    }
}
