//! The serving loop: one thread, one engine, many requests.
//!
//! [`ServingLoop::step`] does one round: take commands, drop what was cancelled or is too late, tell what slow readers
//! now have room for, admit, compute one batch, sample, tell. It never waits; [`ServingLoop::run`] waits between rounds
//! when there is nothing to do. Tests call `step` themselves, with an engine and a clock of their own.
//!
//! Invariants:
//!  1. Only this thread touches the engine, the index and the queue: there is no lock here.
//!  2. Every live sequence of the index belongs to exactly one generation, and every generation that computes has one.
//!  3. The index is told exactly what the engine has done, so cells are never counted wrong.
//!  4. Each accepted request ends by as many `Finished` as it has choices, or by one `Failed`; a full channel cannot
//!     swallow these (their places are reserved on submission).
//!  5. When some generation can run, a step computes something: the oldest is never preempted for cells.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use platform::Clock;
use scheduling::{DrainRate, FairQueue, FairQueueOptions};
use tokio::sync::oneshot;

use super::budget::StepBudget;
use super::embed::PooledQueue;
use super::generation::{Generation, Job, JobId, Ticket};
use super::prefix::PrefixIndex;
use super::request::{Command, Event, Failure, FailureKind, ServingOptions, Stats};
use super::shelf::PrefixShelf;
use crate::engine::{BatchEntry, Engine, EngineError, EngineLimits, SequenceId};

/// Most choices of one request. OpenAI's limit; more would only be a way around fair shares.
pub const CHOICES_MAX: u32 = 128;
/// How often a paused loop looks whether a slow reader has room again or has gone away.
const PAUSED_POLL: Duration = Duration::from_millis(2);
/// Most commands taken in one step: streams must not wait for a flood of tokenizing.
const COMMANDS_PER_STEP: usize = 64;

/// What a step found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It computed something, and there may be more.
    Worked,
    /// Nothing to do before this time (`None`: before the next command).
    Idle(Option<Instant>),
    /// Drained: there will be nothing to do any more.
    Stopped,
}

/// The loop; see the module.
pub struct ServingLoop<E: Engine> {
    pub(super) engine: E,
    pub(super) limits: EngineLimits,
    pub(super) options: ServingOptions,
    pub(super) clock: Clock,
    commands: Receiver<Command>,
    pub(super) index: PrefixIndex,
    /// What left the cache and may come back.
    pub(super) shelf: PrefixShelf,
    pub(super) budget: StepBudget,
    pub(super) queue: FairQueue<Ticket>,
    pub(super) drain_rate: DrainRate,
    pub(super) jobs: HashMap<JobId, Job>,
    /// Choices that hold a place, oldest admission first.
    pub(super) running: Vec<Generation>,
    /// Preempted choices by their entry in the queue.
    pub(super) parked: HashMap<u64, Generation>,
    /// Choices that lost their place because their reader is slow; they queue again once it has caught up.
    pub(super) stalled: Vec<Generation>,
    pub(super) pooled: PooledQueue,
    pub(super) batch: Vec<BatchEntry>,
    /// The last batch was of prompts only, so the next is of streams.
    pub(super) prompts_turn: bool,
    pub(super) stats: Stats,
    pub(super) next_id: u64,
    pub(super) draining: Option<Draining>,
    /// No handle is left: nobody can ask for anything any more.
    abandoned: bool,
}

/// A loop on its way to its end.
pub(super) struct Draining {
    until: Instant,
    replies: Vec<oneshot::Sender<()>>,
}

impl<E: Engine> ServingLoop<E> {
    /// A loop over a loaded engine, which takes what comes through `commands`.
    #[must_use]
    pub fn new(
        engine: E,
        mut options: ServingOptions,
        clock: Clock,
        commands: Receiver<Command>,
    ) -> Self {
        let limits = engine.limits().clone();
        let most = limits.sequences_max.min(limits.batch_tokens_max).max(1);
        options.running_max = options.running_max.clamp(1, most);
        options.queue_max = options.queue_max.max(1);
        let depth = (options.queue_max + options.running_max) as usize * CHOICES_MAX as usize;
        Self {
            index: PrefixIndex::new(limits.sequences_max, limits.partial_removal),
            shelf: PrefixShelf::new(options.shelf_bytes_max),
            budget: StepBudget::new(options.step_budget),
            queue: FairQueue::new(FairQueueOptions::with_limit(depth)),
            drain_rate: DrainRate::new(),
            jobs: HashMap::new(),
            running: Vec::new(),
            parked: HashMap::new(),
            stalled: Vec::new(),
            pooled: PooledQueue::new(options.queue_max as usize),
            batch: Vec::with_capacity(limits.batch_tokens_max as usize),
            prompts_turn: false,
            stats: Stats::default(),
            next_id: 0,
            draining: None,
            abandoned: false,
            engine,
            limits,
            options,
            clock,
            commands,
        }
    }

    /// Choices that run at a time, at most.
    #[must_use]
    pub fn running_max(&self) -> u32 {
        self.options.running_max
    }

    /// Runs until drained, or until every handle is gone and nothing is left to do.
    ///
    /// # Errors
    /// [`EngineError::Poisoned`]: the engine's state is unknown and the process should end.
    pub fn run(mut self) -> Result<(), EngineError> {
        loop {
            match self.step()? {
                Progress::Worked => {}
                Progress::Stopped => return Ok(()),
                Progress::Idle(until) => self.wait(until),
            }
        }
    }

    /// One round; never waits.
    ///
    /// # Errors
    /// [`EngineError::Poisoned`]: the engine's state is unknown and no further step may be taken.
    pub fn step(&mut self) -> Result<Progress, EngineError> {
        self.take_commands();
        let now = self.clock.now();
        self.reap(now);
        self.deliver();
        self.admit(now);
        let mut worked = self.generate()?;
        worked |= self.compute_pooled()?;
        if worked {
            return Ok(Progress::Worked);
        }
        Ok(self.rest(now))
    }

    fn rest(&mut self, now: Instant) -> Progress {
        let empty = self.jobs.is_empty() && self.pooled.is_empty();
        if empty && (self.draining.is_some() || self.abandoned) {
            let draining = self.draining.as_mut();
            for reply in draining
                .into_iter()
                .flat_map(|draining| draining.replies.drain(..))
            {
                // Who asked may have gone; the loop ends all the same.
                let _ = reply.send(());
            }
            return Progress::Stopped;
        }
        Progress::Idle((!empty).then(|| now + PAUSED_POLL))
    }

    fn wait(&mut self, until: Option<Instant>) {
        let command = match until {
            None => self
                .commands
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) if self.abandoned => {
                std::thread::sleep(until.saturating_duration_since(self.clock.now()));
                return;
            }
            Some(until) => {
                let time = until.saturating_duration_since(self.clock.now());
                self.commands.recv_timeout(time)
            }
        };
        match command {
            Ok(command) => self.take(command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.abandoned = true,
        }
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMANDS_PER_STEP {
            match self.commands.try_recv() {
                Ok(command) => self.take(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.abandoned = true;
                    return;
                }
            }
        }
    }

    /// Takes one command. A reply that nobody waits for any more is dropped.
    fn take(&mut self, command: Command) {
        match command {
            Command::Generate(job) => self.submit(*job),
            Command::Embed(job) => self.submit_embed(job),
            Command::Rerank(job) => self.submit_rerank(job),
            Command::Tokenize {
                text,
                add_special,
                parse_special,
                reply,
            } => {
                let tokens = self.engine.tokenize(&text, add_special, parse_special);
                let _ =
                    reply.send(tokens.map_err(|error| Failure::invalid("text", error.to_string())));
            }
            Command::Detokenize {
                tokens,
                special,
                reply,
            } => {
                let _ = reply.send(self.detokenize(&tokens, special));
            }
            Command::Stats { reply } => {
                let _ = reply.send(self.stats());
            }
            Command::Drain { within, reply } => {
                let until = self.clock.now() + within;
                let draining = self.draining.get_or_insert(Draining {
                    until,
                    replies: Vec::new(),
                });
                draining.until = draining.until.min(until);
                draining.replies.push(reply);
            }
        }
    }

    fn detokenize(&self, tokens: &[u32], special: bool) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        for &token in tokens {
            if token >= self.limits.vocabulary {
                return Err(Failure::invalid(
                    "ids",
                    format!("no token has the id {token}"),
                ));
            }
            self.engine.token_bytes(token, special, &mut bytes);
        }
        Ok(bytes)
    }

    /// Counters and gauges as of now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let waiting = self.queue.depth() + self.stalled.len() + self.pooled.waiting();
        Stats {
            running: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            running_max: self.options.running_max,
            cells_used: u64::from(self.index.cells_used()),
            cells: u64::from(self.limits.cache_tokens),
            ..self.stats
        }
    }

    /// Ends what was cancelled, what is too late, and, when a drain's time is over, everything.
    fn reap(&mut self, now: Instant) {
        let drained = self
            .draining
            .as_ref()
            .is_some_and(|draining| now >= draining.until);
        let mut ends: Vec<(JobId, Option<Failure>)> = Vec::new();
        for (&id, job) in &self.jobs {
            if job.spec.events.is_closed() {
                ends.push((id, None));
            } else if job.deadline.is_some_and(|deadline| deadline <= now) {
                let message = "the time given for this request is over";
                ends.push((id, Some(Failure::new(FailureKind::Deadline, message))));
            } else if drained {
                let message = "the model is being unloaded";
                ends.push((id, Some(Failure::new(FailureKind::Cancelled, message))));
            }
        }
        for (id, failure) in ends {
            self.end_job(id, failure);
        }
        self.pooled.reap(drained);
    }

    /// Ends a request wherever its choices stand; what they computed stays as cached prefixes.
    pub(super) fn end_job(&mut self, id: JobId, failure: Option<Failure>) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        for entry in &job.entries {
            self.queue.remove(*entry);
            self.parked.remove(entry);
        }
        self.stalled.retain(|generation| generation.job != id);
        let mut index = 0;
        while index < self.running.len() {
            if self.running[index].job == id {
                let generation = self.running.remove(index);
                self.leave(generation.sequence);
            } else {
                index += 1;
            }
        }
        if let (Some(failure), Some(place)) = (failure, job.endings.pop()) {
            place.send(Event::Failed(failure));
        }
    }

    /// Takes a sequence from its generation: kept as a cached prefix where that adds something.
    pub(super) fn leave(&mut self, sequence: Option<SequenceId>) {
        let Some(sequence) = sequence else { return };
        if !self.index.retain(sequence) {
            self.remove_sequence(sequence);
        }
        while self.index.cells_evictable() > self.options.retained_cells_max {
            if !self.evict_cells() {
                break;
            }
        }
    }

    pub(super) fn remove_sequence(&mut self, sequence: SequenceId) {
        let removed = self.engine.sequence_truncate(sequence, 0);
        assert!(removed, "an engine can always remove a whole sequence");
    }

    /// Tells what slow readers have room for again.
    fn deliver(&mut self) {
        for generation in &mut self.running {
            generation.deliver();
        }
        let mut index = 0;
        while index < self.stalled.len() {
            if self.stalled[index].deliver() {
                let generation = self.stalled.swap_remove(index);
                self.park(generation);
            } else {
                index += 1;
            }
        }
    }
}
