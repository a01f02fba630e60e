//! Who gets in, in which order, and who must step back.
//!
//! A request waits in the fair queue, one entry for each choice. An admitted choice holds one of `running_max`
//! places; it starts (gets a sequence with the longest cached prefix) once its cells fit, oldest first. When a
//! place or cells are wanted, those step back first who lose least by it: choices whose reader is slow, then
//! batch work, newest first. Who steps back keeps its sampler, grammar and text, leaves its cells as a cached
//! prefix, and goes on later exactly where it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scheduling::{Class, Entry};
use tokio::sync::mpsc::error::TrySendError;

use super::engine_loop::{CHOICES_MAX, ServingLoop};
use super::generation::{Generation, Job, Ticket, Wait};
use super::output::Output;
use super::prefix::{PrefixMatch, common_prefix};
use super::request::{Accepted, Event, Failure, FailureKind, GenerateJob, Input, Piece};
use crate::engine::{Engine, Token};

/// A choice waits for another's prefill when that saves at least this many tokens. Below it a wait of one step
/// costs more than the tokens do.
const WAIT_SAVES_MIN: u32 = 16;
/// Cells set aside for the output of every running choice before another is admitted: a preemption that these
/// few tokens avoid costs more than they do; setting aside the whole output would leave most of the cache empty.
const GROWTH_CELLS: u32 = 32;
/// How long batch work that had its turn is left alone.
const BATCH_TURN: Duration = Duration::from_secs(5);
/// Advice when the runner is ending: a new one will be there soon.
const RETRY_AFTER_DRAIN: Duration = Duration::from_secs(1);

impl<E: Engine> ServingLoop<E> {
    /// Positions that one request may use.
    pub(super) fn context_tokens(&self) -> u32 {
        self.limits.context_tokens.min(self.limits.cache_tokens)
    }

    /// Queues a request, or refuses it.
    pub(super) fn submit(&mut self, mut job: GenerateJob) {
        let prompt = match self.examine(&job) {
            Ok(prompt) => prompt,
            Err(failure) => {
                // The channel is empty: only a receiver that is gone does not hear this.
                let _ = job.events.try_send(Event::Failed(failure));
                return;
            }
        };
        job.choices = job.choices.max(1);
        let mut endings = Vec::with_capacity(job.choices as usize);
        for _ in 0..job.choices {
            match job.events.clone().try_reserve_owned() {
                Ok(place) => endings.push(place),
                Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(_)) => {
                    drop(endings);
                    let message = "the event channel has fewer places than choices";
                    let failure = Failure::new(FailureKind::Engine, message);
                    let _ = job.events.try_send(Event::Failed(failure));
                    return;
                }
            }
        }
        let now = self.clock.now();
        let id = self.next_id;
        let deadline = job.deadline.and_then(|within| now.checked_add(within));
        let spec = Arc::new(job);
        let mut entries = Vec::with_capacity(endings.len());
        for choice in 0..spec.choices {
            let entry = Entry {
                id: self.next_id,
                tenant: spec.salt.tenant.clone(),
                weight: spec.weight,
                class: spec.class,
                cost_tokens: if choice == 0 { prompt.len() as u64 } else { 1 },
                // The job's own deadline covers all its choices, wherever they stand.
                deadline: None,
                item: Ticket { job: id, choice },
            };
            self.next_id += 1;
            entries.push(entry.id);
            let pushed = self.queue.push(entry, now);
            assert!(
                pushed.is_ok(),
                "the bound on requests keeps choices below the queue's"
            );
        }
        self.jobs.insert(
            id,
            Job {
                open: spec.choices,
                spec,
                prompt,
                arrived: now,
                deadline,
                accepted: false,
                endings,
                entries,
            },
        );
    }

    /// Checks a request and measures its prompt.
    fn examine(&self, job: &GenerateJob) -> Result<Arc<[Token]>, Failure> {
        if self.draining.is_some() {
            let message = "the model is being unloaded";
            return Err(Failure::overloaded(message, RETRY_AFTER_DRAIN));
        }
        if !self.limits.generates {
            let message = "this model does not generate text";
            return Err(Failure::new(FailureKind::Unsupported, message));
        }
        let waiting = self
            .jobs
            .values()
            .filter(|job| !job.entries.is_empty())
            .count();
        let waiting = waiting + self.stalled.len();
        // Those who come together in one step may all find a free place.
        let places = (self.options.running_max as usize).saturating_sub(self.running.len());
        if waiting >= self.options.queue_max as usize + places {
            let retry_after = self.drain_rate.retry_after(waiting);
            return Err(Failure::overloaded(
                "too many requests wait for this model",
                retry_after,
            ));
        }
        if job.choices > CHOICES_MAX {
            return Err(Failure::invalid(
                "choices",
                format!("at most {CHOICES_MAX} choices"),
            ));
        }
        job.sampling
            .validate(self.limits.vocabulary)
            .map_err(|error| Failure::invalid("sampling", error.to_string()))?;
        let mut prompt =
            self.tokens_of(&job.prompt, job.add_special, job.parse_special, "prompt")?;
        if prompt.is_empty() {
            // An empty text is a wish for anything at all, which a model begins with its begin token.
            let begin = self.engine.special_tokens().begin;
            prompt.push(begin.ok_or_else(|| Failure::invalid("prompt", "the prompt is empty"))?);
        }
        let room_for_output = u32::from(job.tokens_max != Some(0));
        let limit = self.context_tokens().saturating_sub(room_for_output) as usize;
        if prompt.len() > limit {
            return Err(Failure::context_exceeded("prompt", prompt.len(), limit));
        }
        Ok(prompt.into())
    }

    /// Tokens of an input, checked against the vocabulary.
    pub(super) fn tokens_of(
        &self,
        input: &Input,
        add_special: bool,
        parse_special: bool,
        field: &str,
    ) -> Result<Vec<Token>, Failure> {
        match input {
            Input::Text(text) => self
                .engine
                .tokenize(text, add_special, parse_special)
                .map_err(|error| Failure::invalid(field, error.to_string())),
            Input::Tokens(tokens) => {
                if let Some(token) = tokens
                    .iter()
                    .find(|token| **token >= self.limits.vocabulary)
                {
                    return Err(Failure::invalid(
                        field,
                        format!("no token has the id {token}"),
                    ));
                }
                Ok(tokens.clone())
            }
        }
    }

    /// Gives places to those who wait, and starts those who have a place.
    pub(super) fn admit(&mut self, now: Instant) {
        while let Some(class) = self.queue.peek(now).map(|entry| entry.class) {
            let full = self.running.len() >= self.options.running_max as usize;
            if full && !self.make_place(class, now) {
                break;
            }
            let Some(popped) = self.queue.pop(now) else {
                break;
            };
            self.drain_rate.departed(now);
            let entry = popped.entry.id;
            let Ticket { job: id, choice } = popped.entry.item;
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            job.entries.retain(|waiting| *waiting != entry);
            let mut generation = match self.parked.remove(&entry) {
                Some(generation) => generation,
                None => new_generation(job, id, choice, entry, now, &self.limits, &self.engine),
            };
            generation.prompt_due = now + self.budget.expected(generation.missing());
            generation.popped = Some(popped);
            // Batch work that got in before waiting interactive work has had to wait long: it keeps its place a while.
            let overtakes = class == Class::Batch
                && self
                    .queue
                    .peek(now)
                    .is_some_and(|next| next.class == Class::Interactive);
            generation.protected_until = overtakes.then(|| now + BATCH_TURN);
            self.running.push(generation);
        }
        self.start_placed(now);
    }

    /// Frees a place for somebody of `class`; false when nobody has to step back.
    fn make_place(&mut self, class: Class, now: Instant) -> bool {
        let paused = |generation: &Generation| generation.undelivered.is_some();
        let newest_batch = || {
            let batch = |generation: &Generation| generation.yields(now);
            (class == Class::Interactive)
                .then(|| self.running.iter().rposition(batch))
                .flatten()
        };
        let chosen = self.running.iter().rposition(paused).or_else(newest_batch);
        chosen.map(|index| self.step_back(index)).is_some()
    }

    /// Takes a running choice's place and cells away; it goes on later, exactly where it was.
    pub(super) fn step_back(&mut self, index: usize) {
        let mut generation = self.running.remove(index);
        self.stats.preemptions += 1;
        self.leave(generation.sequence.take());
        generation.computed = 0;
        generation.waits_for = None;
        if let Some(echo) = &mut generation.echo {
            // Rows of logits are not kept, so a prompt whose rows are wanted is computed again from its start.
            echo.clear();
        }
        if generation.undelivered.is_some() {
            self.stalled.push(generation);
        } else {
            self.park(generation);
        }
    }

    /// Puts a choice without a place back into the queue, before its tenant's later ones.
    pub(super) fn park(&mut self, mut generation: Generation) {
        let (Some(popped), Some(job)) =
            (generation.popped.take(), self.jobs.get_mut(&generation.job))
        else {
            return;
        };
        let entry = popped.entry.id;
        job.entries.push(entry);
        self.queue.requeue_front(popped);
        self.parked.insert(entry, generation);
    }

    /// Starts choices that have a place but no sequence yet, oldest first; the first that does not fit ends the
    /// round, so that a large prompt is not overtaken for ever by small ones.
    fn start_placed(&mut self, now: Instant) {
        let mut order: Vec<usize> = (0..self.running.len())
            .filter(|index| self.running[*index].sequence.is_none())
            .collect();
        order.sort_by_key(|index| {
            let generation = &self.running[*index];
            (generation.spec.class, generation.order)
        });
        let mut orders: Vec<u64> = order
            .iter()
            .map(|index| self.running[*index].order)
            .collect();
        orders.reverse();
        while let Some(order) = orders.pop() {
            // Positions change when somebody steps back, so each is looked up anew.
            let Some(index) = self
                .running
                .iter()
                .position(|running| running.order == order)
            else {
                continue;
            };
            if self.still_waits(index) {
                continue;
            }
            if self.start(index, now) {
                continue;
            }
            let batch = |running: &Generation| running.yields(now) && running.sequence.is_some();
            let interactive = self.running[index].spec.class == Class::Interactive;
            match self.running.iter().rposition(batch) {
                Some(victim) if interactive => {
                    self.step_back(victim);
                    orders.push(order);
                }
                _ => break,
            }
        }
    }

    /// Whether a choice still waits for another's prefix; looks for one to wait for when it does not.
    fn still_waits(&mut self, index: usize) -> bool {
        let generation = &self.running[index];
        let told = self
            .jobs
            .get(&generation.job)
            .is_none_or(|job| job.accepted);
        if generation.spec.echo_logprobs && generation.choice > 0 && !told {
            // The first choice tells the prompt's log-probabilities, and nothing is told before them.
            return true;
        }
        let wait = generation.waits_for;
        let ongoing = wait.is_some_and(|wait| {
            self.running.iter().any(|other| {
                other.order == wait.order
                    && (other.sequence.is_none() || other.computed < wait.tokens)
            })
        });
        if !ongoing {
            self.running[index].waits_for = self.worth_waiting(index);
        }
        self.running[index].waits_for.is_some()
    }

    /// The running prefill that computes most of what this choice would have to compute itself, if that is much.
    fn worth_waiting(&self, index: usize) -> Option<Wait> {
        let generation = &self.running[index];
        if !self.limits.partial_removal || generation.output.tokens > 0 || generation.echo.is_some()
        {
            return None;
        }
        let wanted = &generation.tokens[..generation.tokens.len() - 1];
        let cached = self
            .index
            .longest(&generation.spec.salt, wanted)
            .map_or(0, |found| found.tokens);
        self.running
            .iter()
            // Only for older ones, so that nobody waits in a circle; never for somebody who may have to yield to us.
            .filter(|other| other.order < generation.order)
            .filter(|other| other.spec.class <= generation.spec.class)
            .filter(|other| other.spec.salt == generation.spec.salt && other.undelivered.is_none())
            .map(|other| {
                let common = common_prefix(&other.tokens, wanted);
                Wait {
                    order: other.order,
                    tokens: u32::try_from(common).unwrap_or(u32::MAX),
                }
            })
            .filter(|wait| wait.tokens >= cached + WAIT_SAVES_MIN)
            // The oldest of equals is done first.
            .max_by_key(|wait| (wait.tokens, std::cmp::Reverse(wait.order)))
    }

    /// Gives a placed choice a sequence with the longest cached prefix; false when its cells do not fit now.
    fn start(&mut self, index: usize, now: Instant) -> bool {
        let salt = self.running[index].spec.salt.clone();
        let reuses = self.running[index].echo.is_none();
        if reuses && self.options.shelf_bytes_max > 0 {
            let wanted = wanted_of(&self.running[index]).to_vec();
            self.unshelve(&salt, &wanted);
        }
        let mut found = match reuses {
            false => None,
            true => self.index.longest(&salt, wanted_of(&self.running[index])),
        };
        let sequence = match self.index.free_sequence() {
            Some(sequence) => sequence,
            None => {
                let evicted = self.index.evict_sequence(found).or_else(|| {
                    // Only the sequence that holds the prefix could go: then the prefix goes with it.
                    found = None;
                    self.index.evict_sequence(None)
                });
                let Some(sequence) = evicted else {
                    return false;
                };
                self.stats.evictions += 1;
                self.remove_sequence(sequence);
                sequence
            }
        };
        // The eviction may have changed the tree, so the match is looked up again.
        let found = found.and_then(|_| self.index.longest(&salt, wanted_of(&self.running[index])));
        let cached = found.map_or(0, |found: PrefixMatch| found.tokens);
        let holder = match found {
            Some(found) => Some(self.index.attach(sequence, found)),
            None => {
                self.index.open(sequence, &salt);
                None
            }
        };
        if !self.fits(index, cached) {
            self.index.release(sequence);
            return false;
        }
        if let Some(holder) = holder {
            self.engine.sequence_share(holder, sequence, cached);
        }
        let generation = &mut self.running[index];
        generation.sequence = Some(sequence);
        generation.computed = cached;
        if generation.started.is_none() {
            generation.started = Some(now);
            self.announce(index, cached, now);
        }
        true
    }

    /// Whether a choice that has `cached` tokens (its sequence attached in the index) fits beside the others.
    fn fits(&self, index: usize, cached: u32) -> bool {
        let missing = |generation: &Generation, computed: u32| {
            u64::from(generation.missing() + generation.computed - computed)
                + u64::from(generation.cells_to_come(GROWTH_CELLS))
        };
        let others: u64 = self
            .running
            .iter()
            .filter(|other| other.sequence.is_some())
            .map(|other| missing(other, other.computed))
            .sum();
        if self.running.iter().all(|other| other.sequence.is_none()) {
            // Alone it always fits: a prompt is at most the context, and the context at most the cache.
            return true;
        }
        let held = self.index.cells_used() - self.index.cells_evictable();
        let wanted = u64::from(held) + others + missing(&self.running[index], cached);
        wanted <= u64::from(self.limits.cache_tokens)
    }

    /// Tells the client that its computation begins, with what was found in the cache.
    fn announce(&mut self, index: usize, cached: u32, now: Instant) {
        let generation = &self.running[index];
        let Some(job) = self.jobs.get_mut(&generation.job) else {
            return;
        };
        if generation.choice == 0 {
            self.stats.prefix_queries_tokens += u64::from(generation.prompt_tokens);
            self.stats.prefix_hits_tokens += u64::from(cached);
            self.stats.prompt_tokens += u64::from(generation.prompt_tokens);
        }
        // With log-probabilities of the prompt it is told when they are there.
        if job.accepted || job.spec.echo_logprobs {
            return;
        }
        job.accepted = true;
        let accepted = Accepted {
            prompt_tokens: generation.prompt_tokens,
            cached_tokens: cached,
            queued: job.age(now),
            prompt: Vec::new(),
        };
        // The channel is empty before this, so it can only be closed, which the next step finds.
        let _ = job.spec.events.try_send(Event::Accepted(accepted));
    }
}

fn wanted_of(generation: &Generation) -> &[Token] {
    &generation.tokens[..generation.tokens.len() - 1]
}

fn new_generation<E: Engine>(
    job: &Job,
    id: u64,
    choice: u32,
    order: u64,
    now: Instant,
    limits: &crate::engine::EngineLimits,
    engine: &E,
) -> Generation {
    let spec = job.spec.clone();
    let prompt_tokens = u32::try_from(job.prompt.len()).unwrap_or(u32::MAX);
    let room = limits
        .context_tokens
        .min(limits.cache_tokens)
        .saturating_sub(prompt_tokens);
    let ends = &engine.special_tokens().end_of_generation;
    let output = Output::new(&spec, choice, &job.prompt, ends);
    Generation {
        order,
        job: id,
        choice,
        popped: None,
        tokens: job.prompt.to_vec(),
        prompt_tokens,
        sequence: None,
        computed: 0,
        waits_for: None,
        output,
        output_max: spec.tokens_max.unwrap_or(u32::MAX).min(room),
        undelivered: None::<Piece>,
        echo: (spec.echo_logprobs && choice == 0).then(Vec::new),
        prompt_due: now,
        protected_until: None,
        started: None,
        first_token: None,
        last_token: None,
        spec,
    }
}
