//! One running generation: from the runner's events to the caller's, with calls, reasoning, log-probabilities, usage,
//! and one quiet retry when a runner dies before anything was shown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use inference::runner::protocol::{
    self, GenerateEvent, GenerateRequest, generate_event::Event as RunnerEvent,
};
use inference::runner::{LoadOptions, ModelSource, RunnerError, RunnerErrorKind};
use inference::templates::{OutputEvent, OutputParser, ParserOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::identifiers;
use crate::runtime::{EventStream, ModelLease, ModelRuntime};
use crate::signals::RequestRecord;
use crate::types::{FinishReason, GenerationEvent, Timing, TokenLogprob};

/// Everything needed to start a generation, and to start it again.
pub(crate) struct Plan {
    pub(crate) runtime: Arc<dyn ModelRuntime>,
    pub(crate) source: ModelSource,
    pub(crate) load: LoadOptions,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) lease: Arc<dyn ModelLease>,
    pub(crate) request: GenerateRequest,
    /// How each answer is read; `None`: its text is the answer.
    pub(crate) parser: Option<ParserOptions>,
    /// Call ids of nine letters and digits.
    pub(crate) short_call_ids: bool,
    /// Give the log-probability of the end token too, which has no text: the raw API does, the chat API does not.
    pub(crate) end_logprobs: bool,
    /// Text to give back with the first event.
    pub(crate) prompt_text: Option<String>,
    /// Counts as in flight until the end.
    pub(crate) _guard: InFlight,
    pub(crate) record: RequestRecord,
}

impl Plan {
    fn fresh_answers(&self) -> Vec<AnswerState> {
        (0..self.request.choices.max(1))
            .map(|_| AnswerState {
                parser: self.parser.clone().map(OutputParser::new),
                ..AnswerState::default()
            })
            .collect()
    }
}

/// One request that runs; the drain waits for these.
pub(crate) struct InFlight(tokio::sync::watch::Sender<usize>);

impl InFlight {
    pub(crate) fn enter(count: &tokio::sync::watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        InFlight(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Starts a generation and waits until the runner has taken it, so that everything wrong with the request is an error
/// here and not in the stream.
pub(crate) async fn start(
    plan: Plan,
) -> Result<impl Stream<Item = Result<GenerationEvent>> + Send + 'static> {
    let mut driver = Driver {
        answers: plan.fresh_answers(),
        running: plan.request.choices.max(1),
        plan,
        events: None,
        ready: VecDeque::new(),
        shown: false,
        retried: false,
        ended: false,
    };
    if let Err(error) = driver.open().await {
        return Err(driver.plan.record.failed(error));
    }
    Ok(futures::stream::unfold(driver, |mut driver| async move {
        let event = driver.next().await?;
        Some((event, driver))
    }))
}

struct Driver {
    plan: Plan,
    events: Option<EventStream>,
    answers: Vec<AnswerState>,
    /// Answers not finished yet.
    running: u32,
    ready: VecDeque<GenerationEvent>,
    /// Something other than the start was given to the caller.
    shown: bool,
    retried: bool,
    ended: bool,
}

/// One answer while it is written.
#[derive(Default)]
struct AnswerState {
    parser: Option<OutputParser>,
    /// Bytes of text received.
    received: usize,
    /// Tokens not yet shown, with the place where their text begins.
    logprobs: VecDeque<(usize, TokenLogprob)>,
    finished: bool,
}

impl Driver {
    /// Connects and reads up to the acceptance, retrying once on a fresh runner.
    async fn open(&mut self) -> Result<()> {
        loop {
            match self.connect().await {
                Ok(accepted) => {
                    self.accept(accepted.as_ref());
                    return Ok(());
                }
                Err(error) => self.retry(error).await?,
            }
        }
    }

    /// The acceptance, unless the caller heard one already.
    async fn connect(&mut self) -> Result<Option<protocol::Accepted>, RunnerError> {
        let mut events = self.plan.lease.generate(self.plan.request.clone()).await?;
        let first = events.next().await.unwrap_or_else(|| Err(cut_short()))?;
        let accepted = match first.event {
            Some(RunnerEvent::Accepted(accepted)) => accepted,
            Some(RunnerEvent::Failed(failure)) => return Err(failure.into()),
            _ => {
                return Err(RunnerError::new(
                    RunnerErrorKind::Engine,
                    "the runner answered before it accepted the request",
                ));
            }
        };
        let restarted = self.events.replace(events).is_some();
        Ok((!restarted).then_some(accepted))
    }

    /// After a crash with nothing shown: a lease on a fresh runner. Anything else is the caller's to hear.
    async fn retry(&mut self, error: RunnerError) -> Result<()> {
        if error.kind != RunnerErrorKind::Crashed || self.retried || self.shown {
            return Err(failures::from_runner(error));
        }
        self.retried = true;
        self.answers = self.plan.fresh_answers();
        tracing::warn!(
            model = self.plan.source.name,
            "the runner ended before it answered; trying once more"
        );
        let plan = &mut self.plan;
        plan.lease = plan
            .runtime
            .acquire(plan.source.clone(), plan.load.clone(), plan.keep_alive)
            .await
            .map_err(failures::from_runner)?;
        Ok(())
    }

    fn accept(&mut self, accepted: Option<&protocol::Accepted>) {
        let Some(accepted) = accepted else { return };
        self.plan.record.accepted(
            accepted.prompt_tokens,
            accepted.cached_tokens,
            accepted.queue_us as f64 / 1e6,
        );
        self.ready.push_back(GenerationEvent::Started {
            prompt_tokens: accepted.prompt_tokens,
            cached_tokens: accepted.cached_tokens,
            prompt_logprobs: accepted.prompt.iter().map(logprob).collect(),
            prompt_text: self.plan.prompt_text.take(),
        });
    }

    async fn next(&mut self) -> Option<Result<GenerationEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if self.ready.is_empty() && self.running == 0 {
                    self.finish();
                }
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let result = match self.events.as_mut() {
                Some(events) => events.next().await.unwrap_or_else(|| Err(cut_short())),
                None => Err(cut_short()),
            };
            let error = match result.map(|event| self.take(event)) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(error) => match self.retry(error).await {
                    Ok(()) => match self.open().await {
                        Ok(()) => continue,
                        Err(error) => error,
                    },
                    Err(error) => error,
                },
            };
            self.ended = true;
            self.events = None;
            return Some(Err(self.plan.record.failed(error)));
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        self.events = None;
        self.plan.record.succeeded();
    }

    fn take(&mut self, event: GenerateEvent) -> Result<()> {
        let choice = event.choice;
        match event.event {
            Some(RunnerEvent::Accepted(_)) | None => {}
            Some(RunnerEvent::Failed(failure)) => {
                return Err(failures::from_runner(failure.into()));
            }
            Some(RunnerEvent::Text(text)) => {
                let answer = self.answer(choice)?;
                answer.receive(&text, &event.logprobs);
                let read = match &mut answer.parser {
                    Some(parser) => parser.push(&text),
                    None => answer.all(text),
                };
                self.plan.record.output();
                self.show(choice, read)?;
            }
            Some(RunnerEvent::Finished(finished)) => {
                self.end_answer(choice, finished, &event.logprobs)?
            }
        }
        Ok(())
    }

    fn end_answer(
        &mut self,
        choice: u32,
        finished: protocol::Finished,
        logprobs: &[protocol::TokenLogprob],
    ) -> Result<()> {
        let answer = self.answer(choice)?;
        if answer.finished {
            return Err(failures::internal("a runner finished an answer twice"));
        }
        answer.finished = true;
        answer.receive("", logprobs);
        let (read, calls) = match &mut answer.parser {
            Some(parser) => (parser.finish(), parser.calls()),
            None => (Vec::new(), 0),
        };
        self.show(choice, read)?;
        if self.plan.end_logprobs {
            let logprobs = self.answer(choice)?.rest_of_logprobs();
            if !logprobs.is_empty() {
                self.ready.push_back(GenerationEvent::Text {
                    choice,
                    text: String::new(),
                    logprobs,
                });
            }
        }
        let reason = match finished.reason.as_str() {
            "length" => FinishReason::Length,
            "stop" if calls > 0 => FinishReason::ToolCalls,
            "stop" => FinishReason::Stop {
                sequence: (!finished.stop_sequence.is_empty()).then_some(finished.stop_sequence),
            },
            "cancelled" => {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    "The generation was cancelled.",
                ));
            }
            other => {
                return Err(failures::internal(format!(
                    "a runner finished with {other:?}"
                )));
            }
        };
        self.plan.record.written(finished.output_tokens);
        self.running = self.running.saturating_sub(1);
        self.shown = true;
        self.ready.push_back(GenerationEvent::Finished {
            choice,
            reason,
            output_tokens: finished.output_tokens,
            timing: Timing {
                prefill: Duration::from_micros(finished.prefill_us),
                decode: Duration::from_micros(finished.decode_us),
            },
        });
        Ok(())
    }

    fn answer(&mut self, choice: u32) -> Result<&mut AnswerState> {
        self.answers
            .get_mut(choice as usize)
            .ok_or_else(|| failures::internal(format!("a runner answered choice {choice}")))
    }

    /// Queues what was read from an answer's text.
    fn show(&mut self, choice: u32, read: Vec<OutputEvent>) -> Result<()> {
        for event in read {
            self.shown = true;
            let event = match event {
                OutputEvent::Content { text, span } => GenerationEvent::Text {
                    choice,
                    text,
                    logprobs: self.answer(choice)?.logprobs_of(span),
                },
                OutputEvent::Reasoning(text) => GenerationEvent::Reasoning { choice, text },
                OutputEvent::CallStarted { index, name } => GenerationEvent::ToolCallStarted {
                    choice,
                    index,
                    id: identifiers::call(self.plan.short_call_ids)?,
                    name,
                },
                OutputEvent::CallArguments { index, fragment } => {
                    GenerationEvent::ToolCallArguments {
                        choice,
                        index,
                        fragment,
                    }
                }
            };
            self.ready.push_back(event);
        }
        Ok(())
    }
}

impl AnswerState {
    /// Notes where the tokens behind `text` begin.
    fn receive(&mut self, text: &str, logprobs: &[protocol::TokenLogprob]) {
        let end = self.received + text.len();
        let mut at = self.received;
        for token in logprobs {
            // Tokens may hold bytes that are not part of the text (a control token's name), so the place is clipped.
            self.logprobs.push_back((at.min(end), logprob(token)));
            at = at.saturating_add(token.bytes.len());
        }
        self.received = end;
    }

    /// Text that needs no reading.
    fn all(&self, text: String) -> Vec<OutputEvent> {
        let span = self.received - text.len()..self.received;
        vec![OutputEvent::Content { text, span }]
    }

    /// Tokens whose text begins before the end of `span`; those before it belonged to a call or to reasoning.
    fn logprobs_of(&mut self, span: std::ops::Range<usize>) -> Vec<TokenLogprob> {
        let mut tokens = Vec::new();
        while let Some((at, _)) = self.logprobs.front()
            && *at < span.end
        {
            if let Some((at, token)) = self.logprobs.pop_front()
                && at >= span.start
            {
                tokens.push(token);
            }
        }
        tokens
    }

    /// Tokens that no text followed.
    fn rest_of_logprobs(&mut self) -> Vec<TokenLogprob> {
        self.logprobs.drain(..).map(|(_, token)| token).collect()
    }
}

pub(crate) fn logprob(token: &protocol::TokenLogprob) -> TokenLogprob {
    TokenLogprob {
        token: token.token,
        bytes: token.bytes.clone(),
        logprob: (!token.logprob.is_nan()).then_some(token.logprob),
        top: token.top.iter().map(logprob).collect(),
    }
}

/// A stream that ended without saying so: its runner is gone.
fn cut_short() -> RunnerError {
    RunnerError::new(
        RunnerErrorKind::Crashed,
        "the runner's stream ended without a finish",
    )
}
