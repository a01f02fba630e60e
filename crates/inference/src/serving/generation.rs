//! One choice of one request on its way through the loop, and the request it belongs to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scheduling::{Class, Popped};
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::TrySendError;

use super::output::Output;
use super::request::{Event, Finish, FinishReason, GenerateJob, Piece, TokenLogprob};
use crate::engine::{SequenceId, Token};

/// Number of a request within one loop.
pub(super) type JobId = u64;

/// What waits in the fair queue: one choice of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub job: JobId,
    pub choice: u32,
}

/// A request between submission and the end of its last choice.
pub(super) struct Job {
    pub spec: Arc<GenerateJob>,
    pub prompt: Arc<[Token]>,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
    /// `Event::Accepted` has been sent.
    pub accepted: bool,
    /// Places in the channel for what must not be lost to a full one: an end for every choice, or one failure.
    pub endings: Vec<OwnedPermit<Event>>,
    /// Choices that have not ended.
    pub open: u32,
    /// Queue entries of the choices that wait.
    pub entries: Vec<u64>,
}

/// Another generation that is computing a prefix this one needs, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub order: u64,
    pub tokens: u32,
}

/// One choice under way.
///
/// `tokens[..computed]` are in the engine's cache under `sequence`; the rest must be computed. The choice is in its
/// prompt while more than the newest token is missing, and decoding when exactly that one is.
pub(super) struct Generation {
    /// Order of first admission: the lowest is never preempted for cells, so the loop always gets on.
    pub order: u64,
    pub job: JobId,
    pub choice: u32,
    pub spec: Arc<GenerateJob>,
    /// Its place in the queue, for going back there.
    pub popped: Option<Popped<Ticket>>,
    pub tokens: Vec<Token>,
    pub prompt_tokens: u32,
    pub sequence: Option<SequenceId>,
    pub computed: u32,
    pub waits_for: Option<Wait>,
    pub output: Output,
    pub output_max: u32,
    /// Text that the full channel did not take: while it is here, the choice does not go on.
    pub undelivered: Option<Piece>,
    /// Log-probabilities of the prompt so far, for the choice that reports them.
    pub echo: Option<Vec<TokenLogprob>>,
    /// When its prompt would be done if nothing else ran: prompts are computed in this order.
    pub prompt_due: Instant,
    /// Until then batch work does not step back for interactive work.
    pub protected_until: Option<Instant>,
    pub started: Option<Instant>,
    pub first_token: Option<Instant>,
    pub last_token: Option<Instant>,
}

impl Generation {
    /// Tokens still to be computed before the next can be sampled; at least one.
    pub(super) fn missing(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX) - self.computed
    }

    /// Computing, and not waiting for its reader.
    pub(super) fn is_runnable(&self) -> bool {
        self.sequence.is_some() && self.undelivered.is_none()
    }

    /// Only the newest token is missing.
    pub(super) fn is_decoding(&self) -> bool {
        self.is_runnable() && self.missing() == 1 && self.echo.is_none()
    }

    /// Batch work that steps back when interactive work wants its place.
    pub(super) fn yields(&self, now: Instant) -> bool {
        self.spec.class == Class::Batch && self.protected_until.is_none_or(|until| until <= now)
    }

    /// Output tokens that may still come, each of which will need a cell.
    pub(super) fn cells_to_come(&self, most: u32) -> u32 {
        self.output_max.saturating_sub(self.output.tokens).min(most)
    }

    /// Tells text; what a full channel does not take pauses this choice.
    pub(super) fn tell(&mut self, piece: Piece) {
        if piece.text.is_empty() && piece.logprobs.is_empty() {
            return;
        }
        debug_assert!(self.undelivered.is_none(), "a paused choice does not go on");
        if let Err(TrySendError::Full(Event::Text(piece))) =
            self.spec.events.try_send(Event::Text(piece))
        {
            self.undelivered = Some(piece);
        }
        // A closed channel is a cancellation; the next step finds it.
    }

    /// Tries once more to tell what the channel did not take; true when nothing is left.
    pub(super) fn deliver(&mut self) -> bool {
        if let Some(piece) = self.undelivered.take() {
            self.tell(piece);
        }
        self.undelivered.is_none()
    }

    pub(super) fn finish(
        &self,
        reason: FinishReason,
        stop_sequence: Option<String>,
        now: Instant,
    ) -> Finish {
        let started = self.started.unwrap_or(now);
        let first = self.first_token.unwrap_or(now);
        let last = self.last_token.unwrap_or(first);
        Finish {
            reason,
            stop_sequence,
            output_tokens: self.output.tokens,
            prefill: first.saturating_duration_since(started),
            decode: last.saturating_duration_since(first),
        }
    }
}

impl Job {
    /// Time since submission.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.arrived)
    }
}
