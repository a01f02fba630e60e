//! How other threads reach the loop, and the thread that it runs on.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use platform::Clock;
use tokio::sync::{mpsc, oneshot};

use super::engine_loop::{CHOICES_MAX, ServingLoop};
use super::request::{
    Command, EmbedJob, Embedded, Event, Failure, FailureKind, GenerateJob, Input, RerankJob,
    Reranked, ServingOptions, Stats,
};
use crate::engine::{Engine, Token};

/// Commands that may wait for the loop's next step; beyond it callers are refused at once. The loop takes 64 a
/// step, so this is a few seconds' worth at the slowest.
const COMMANDS_MAX: usize = 1024;
/// Events that a reader may be behind before its request pauses: some seconds of text.
const EVENTS_MAX: usize = 64;

/// Sends commands to a loop; cheap to clone. When the last one is dropped the loop ends after its running requests.
#[derive(Clone)]
pub struct ServingHandle {
    commands: SyncSender<Command>,
}

/// How texts are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedOptions {
    /// Scale each vector to length 1.
    pub normalize: bool,
    /// Cut inputs that are too long, instead of failing.
    pub truncate: bool,
}

/// How a text is tokenized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizeOptions {
    /// Add begin and end tokens as the tokenizer says.
    pub add_special: bool,
    /// Read written special tokens as tokens.
    pub parse_special: bool,
}

/// A channel for the events of one request, with room for `choices` endings beside the usual text.
#[must_use]
pub fn event_channel(choices: u32) -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(EVENTS_MAX + choices.clamp(1, CHOICES_MAX) as usize)
}

/// A loop over a loaded engine, and the handle to it. The caller runs the loop, on a thread of its own.
#[must_use]
pub fn serving<E: Engine>(
    engine: E,
    options: ServingOptions,
    clock: Clock,
) -> (ServingHandle, ServingLoop<E>) {
    let (commands, receiver) = sync_channel(COMMANDS_MAX);
    let serving = ServingLoop::new(engine, options, clock, receiver);
    (ServingHandle { commands }, serving)
}

impl ServingHandle {
    /// Sends a command without waiting.
    ///
    /// # Errors
    /// [`FailureKind::Overloaded`] when the loop is too far behind, [`FailureKind::Engine`] when it has ended.
    pub fn send(&self, command: Command) -> Result<(), Failure> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => Failure::overloaded(
                    "too many requests wait for this model",
                    Duration::from_secs(1),
                ),
                TrySendError::Disconnected(_) => ended(),
            })
    }

    /// Submits a request for text. Everything else, failures included, comes through its event channel.
    ///
    /// # Errors
    /// As [`ServingHandle::send`].
    pub fn generate(&self, job: GenerateJob) -> Result<(), Failure> {
        self.send(Command::Generate(Box::new(job)))
    }

    /// Embeds texts.
    ///
    /// # Errors
    /// Why not, as a [`Failure`].
    pub async fn embed(
        &self,
        inputs: Vec<Input>,
        options: EmbedOptions,
    ) -> Result<Embedded, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Embed(EmbedJob {
            inputs,
            normalize: options.normalize,
            truncate: options.truncate,
            reply,
        }))?;
        answer.await.map_err(|_| ended())?
    }

    /// Scores documents against a query.
    ///
    /// # Errors
    /// Why not, as a [`Failure`].
    pub async fn rerank(&self, query: String, documents: Vec<String>) -> Result<Reranked, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Rerank(RerankJob {
            query,
            documents,
            reply,
        }))?;
        answer.await.map_err(|_| ended())?
    }

    /// Tokens of a text.
    ///
    /// # Errors
    /// Why not, as a [`Failure`].
    pub async fn tokenize(
        &self,
        text: String,
        options: TokenizeOptions,
    ) -> Result<Vec<Token>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Tokenize {
            text,
            add_special: options.add_special,
            parse_special: options.parse_special,
            reply,
        })?;
        answer.await.map_err(|_| ended())?
    }

    /// Bytes of tokens.
    ///
    /// # Errors
    /// Why not, as a [`Failure`].
    pub async fn detokenize(&self, tokens: Vec<Token>, special: bool) -> Result<Vec<u8>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Detokenize {
            tokens,
            special,
            reply,
        })?;
        answer.await.map_err(|_| ended())?
    }

    /// Counters and gauges.
    ///
    /// # Errors
    /// Why not, as a [`Failure`].
    pub async fn stats(&self) -> Result<Stats, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Stats { reply })?;
        answer.await.map_err(|_| ended())
    }

    /// Takes no more requests and waits until those that run have ended, `within` the time given.
    ///
    /// # Errors
    /// As [`ServingHandle::send`]; a loop that has already ended is no error.
    pub async fn drain(&self, within: Duration) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        match self.send(Command::Drain { within, reply }) {
            Err(failure) if failure.kind == FailureKind::Overloaded => return Err(failure),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        // A dropped reply means the same: the loop has ended.
        let _ = answer.await;
        Ok(())
    }
}

fn ended() -> Failure {
    Failure::new(FailureKind::Engine, "the model's engine has ended")
}
