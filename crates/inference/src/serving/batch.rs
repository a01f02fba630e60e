//! One batch: which tokens are computed next, and what becomes of the rows.
//!
//! Every decoding choice gives its newest token; prompts fill what the step budget leaves, those first that would be
//! done first (so a short prompt passes a long one that it arrived beside, but never one that is nearly done). Tokens
//! of both kinds in one batch are cheaper than apart: the weights are read once.

use std::time::Instant;

use super::engine_loop::ServingLoop;
use super::generation::Generation;
use super::output::token_logprob;
use super::prefix::Salt;
use super::request::{Accepted, Event, Failure, FailureKind, FinishReason, Piece, TokenLogprob};
use super::shelf::Shelved;
use crate::engine::{BatchEntry, Engine, EngineError, Token};

/// Most prompt tokens in a step whose log-probabilities are wanted: each needs a whole row of logits (64 rows of
/// 150,000 numbers are 38 MB).
const ECHO_TOKENS_PER_STEP: u32 = 64;

/// Fewest tokens that are worth a copy out of the cache and back: computing so few takes no longer.
const SHELVED_TOKENS_MIN: usize = 32;

/// The part of a batch that belongs to one choice.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// `Generation::order`: positions in `running` change when somebody steps back.
    order: u64,
    /// First entry in the batch, and number of entries.
    first: usize,
    tokens: u32,
}

impl<E: Engine> ServingLoop<E> {
    /// Computes one batch and takes its rows to text; false when nobody can go on.
    pub(super) fn generate(&mut self) -> Result<bool, EngineError> {
        let Some(parts) = self.plan() else {
            return Ok(false);
        };
        let begun = self.clock.now();
        if !self.compute(&parts)? {
            return Ok(true);
        }
        let now = self.clock.now();
        let elapsed = now.saturating_duration_since(begun);
        self.stats.steps += 1;
        self.stats.busy += elapsed;
        self.budget
            .record(u32::try_from(self.batch.len()).unwrap_or(u32::MAX), elapsed);
        self.record_cells(&parts);
        for part in parts {
            self.take_rows(part, now);
        }
        Ok(true)
    }

    /// Fills `self.batch`. Who cannot have cells even after eviction steps back, newest first; `None` when nobody is
    /// runnable.
    fn plan(&mut self) -> Option<Vec<Part>> {
        loop {
            if !self.running.iter().any(Generation::is_runnable) {
                return None;
            }
            let decoding = self
                .running
                .iter()
                .filter(|running| running.is_decoding())
                .count();
            let decoding = u32::try_from(decoding).unwrap_or(u32::MAX);
            let free = self.make_cells(decoding);
            if free < decoding {
                self.step_back_newest();
                continue;
            }
            let parts = self.fill(decoding);
            if !parts.is_empty() {
                return Some(parts);
            }
            // Prompts only, and not one cell: the newest must make room (invariant 5 of the loop).
            self.step_back_newest();
        }
    }

    /// Free cells after evicting until there are `wanted` or nothing is left to evict.
    pub(super) fn make_cells(&mut self, wanted: u32) -> u32 {
        loop {
            let free = self
                .limits
                .cache_tokens
                .saturating_sub(self.index.cells_used());
            if free >= wanted || !self.evict_cells() {
                return free;
            }
        }
    }

    /// Gives up the least recently used cached run; false when live sequences hold all cells.
    pub(super) fn evict_cells(&mut self) -> bool {
        self.shelve_next();
        let Some(eviction) = self.index.evict_cells() else {
            return false;
        };
        self.stats.evictions += 1;
        let cut = self
            .engine
            .sequence_truncate(eviction.sequence, eviction.keep);
        assert!(cut, "the index cuts only where the engine can");
        true
    }

    /// Keeps the sequence that is evicted next in ordinary memory, when that is worth a copy.
    fn shelve_next(&mut self) {
        if self.options.shelf_bytes_max == 0 || !self.limits.partial_removal {
            return;
        }
        let Some((sequence, salt, tokens)) = self.index.next_eviction() else {
            return;
        };
        if tokens.len() < SHELVED_TOKENS_MIN || !self.shelf.wants(&salt, &tokens) {
            return;
        }
        if let Some(state) = self.engine.sequence_save(sequence) {
            self.shelf.put(Shelved {
                salt,
                tokens,
                state,
            });
        }
    }

    /// Brings a prefix of `prompt` back into the cache, as a retained sequence, when that spares much more than what is
    /// cached already.
    pub(super) fn unshelve(&mut self, salt: &Salt, prompt: &[Token]) {
        let Some((place, common, length)) = self.shelf.longest(salt, prompt) else {
            return;
        };
        let cached = self
            .index
            .longest(salt, prompt)
            .map_or(0, |found| found.tokens as usize);
        // A long sequence is not brought back for a short beginning: its cells would be taken from others.
        if common < cached + SHELVED_TOKENS_MIN || common * 2 < length {
            return;
        }
        // Off the shelf first: making room may shelve others, and would move or drop it.
        let entry = self.shelf.take(place);
        let cells = u32::try_from(length).unwrap_or(u32::MAX);
        let room = self.make_cells(cells) >= cells;
        let restored = self
            .index
            .free_sequence()
            .filter(|sequence| room && self.engine.sequence_restore(*sequence, &entry.state));
        let Some(sequence) = restored else {
            self.shelf.put(entry);
            return;
        };
        self.index.open(sequence, salt);
        self.index.append(sequence, &entry.tokens);
        if !self.index.retain(sequence) {
            self.remove_sequence(sequence);
        }
    }

    /// Takes cells from the choice that loses least: paused, then batch work, then the newest.
    fn step_back_newest(&mut self) {
        let chosen = (0..self.running.len())
            .filter(|index| self.running[*index].sequence.is_some())
            .max_by_key(|index| {
                let running = &self.running[*index];
                (
                    running.undelivered.is_some(),
                    running.spec.class,
                    running.order,
                )
            });
        let others = self
            .running
            .iter()
            .filter(|other| other.sequence.is_some())
            .count();
        match chosen {
            Some(index) if others > 1 => self.step_back(index),
            Some(index) => {
                // Alone, and still no room: only an engine that has fewer cells than it says comes here.
                let message = "the key/value cache cannot hold this request alone";
                let failure = Failure::new(FailureKind::CacheFull, message);
                self.end_job(self.running[index].job, Some(failure));
            }
            None => {}
        }
    }

    fn fill(&mut self, decoding: u32) -> Vec<Part> {
        self.batch.clear();
        let mut parts = Vec::with_capacity(self.running.len());
        let (mut streams, mut prompts): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for (index, running) in self.running.iter().enumerate() {
            if running.is_decoding() {
                streams.push(index);
            } else if running.is_runnable() {
                prompts.push(index);
            }
        }
        // Where a mixed batch costs more than two, streams and prompts take turns.
        let apart = !self.limits.mixes && decoding > 0 && !prompts.is_empty();
        self.prompts_turn = apart && !self.prompts_turn;
        if !self.prompts_turn {
            for index in &streams {
                parts.push(push_part(&mut self.batch, &self.running[*index], 1));
            }
            if apart {
                return parts;
            }
        }
        prompts.sort_by_key(|index| {
            let running = &self.running[*index];
            (running.spec.class, running.prompt_due, running.order)
        });
        let mut room = self
            .budget
            .prompt_tokens(decoding)
            .min(self.limits.batch_tokens_max - decoding);
        // A batch of whole blocks wastes nothing; a prompt's last tokens may still break it.
        let beside = if self.prompts_turn { 0 } else { decoding };
        let rest = (beside + room) % self.limits.block_tokens;
        room -= rest.min(room.saturating_sub(1));
        let mut echo_room = ECHO_TOKENS_PER_STEP;
        for index in prompts {
            let missing = self.running[index].missing();
            let mut tokens = missing.min(room);
            if self.running[index].echo.is_some() {
                tokens = tokens.min(echo_room);
            }
            let taken = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
            let free = self.make_cells(taken + tokens);
            tokens = tokens.min(free - taken.min(free));
            if tokens == 0 {
                continue;
            }
            let running = &self.running[index];
            room -= tokens;
            if running.echo.is_some() {
                echo_room -= tokens;
            }
            parts.push(push_part(&mut self.batch, running, tokens));
        }
        if parts.is_empty() {
            // No cell for any prompt: the streams go on.
            for index in streams {
                parts.push(push_part(&mut self.batch, &self.running[index], 1));
            }
        }
        parts
    }

    /// Runs the batch; false when it could not be computed and nothing has changed but the room made.
    fn compute(&mut self, parts: &[Part]) -> Result<bool, EngineError> {
        loop {
            match self.engine.decode(&self.batch) {
                Ok(()) => return Ok(true),
                Err(EngineError::CacheFull) => {
                    if self.evict_cells() {
                        continue;
                    }
                    // The cache holds less than the engine said. From now on we plan with what it holds.
                    let held = u64::from(self.index.cells_used()) + self.batch.len() as u64 - 1;
                    let held = u32::try_from(held).unwrap_or(u32::MAX);
                    self.limits.cache_tokens = self.limits.cache_tokens.min(held);
                    tracing::warn!(
                        cells = held,
                        "the key/value cache is smaller than the engine said"
                    );
                    return Ok(false);
                }
                // Somebody stopped the computation from outside; who is still wanted is computed again.
                Err(EngineError::Interrupted) => return Ok(false),
                Err(error @ EngineError::Poisoned { .. }) => return Err(error),
                Err(error) => {
                    // The batch broke a limit that we do not know of. Which part did is not told, so all end.
                    let failure = Failure::new(FailureKind::Engine, error.to_string());
                    for part in parts {
                        if let Some(index) = self.position(part.order) {
                            self.end_job(self.running[index].job, Some(failure.clone()));
                        }
                    }
                    return Ok(false);
                }
            }
        }
    }

    fn position(&self, order: u64) -> Option<usize> {
        self.running
            .iter()
            .position(|running| running.order == order)
    }

    /// Tells the index what has been computed, for every part before any of them ends.
    fn record_cells(&mut self, parts: &[Part]) {
        for part in parts {
            let Some(index) = self.position(part.order) else {
                continue;
            };
            let running = &mut self.running[index];
            let Some(sequence) = running.sequence else {
                continue;
            };
            let from = running.computed as usize;
            let to = from + part.tokens as usize;
            self.index.append(sequence, &running.tokens[from..to]);
            running.computed += part.tokens;
        }
    }

    /// Takes the rows of one part as far as they go: log-probabilities of the prompt, or the next token.
    fn take_rows(&mut self, part: Part, now: Instant) {
        // It may have ended with another choice of its request in this same step.
        let Some(index) = self.position(part.order) else {
            return;
        };
        if self.running[index].echo.is_some() && !self.take_echo(index, part, now) {
            return;
        }
        if self.running[index].missing() > 0 {
            return;
        }
        let running = &mut self.running[index];
        if running.output_max == 0 {
            self.finish(index, Piece::default(), FinishReason::Length, None, now);
            return;
        }
        let row = part.first + part.tokens as usize - 1;
        let spec = running.spec.clone();
        let told = match running
            .output
            .advance(&self.engine, row, &spec, running.output_max)
        {
            Ok(told) => told,
            Err(failure) => {
                self.end_job(self.running[index].job, Some(failure));
                return;
            }
        };
        self.stats.output_tokens += 1;
        self.queue.charge(&spec.salt.tenant, 1);
        running.first_token.get_or_insert(now);
        running.last_token = Some(now);
        let piece = Piece {
            choice: running.choice,
            text: told.text,
            logprobs: told.logprobs,
        };
        match told.end {
            Some((reason, stop)) => self.finish(index, piece, reason, stop, now),
            None => {
                running.tokens.push(told.token);
                running.tell(piece);
            }
        }
    }

    /// Collects log-probabilities of the prompt; true when they are complete and have been told.
    fn take_echo(&mut self, index: usize, part: Part, now: Instant) -> bool {
        let running = &mut self.running[index];
        let Some(echo) = &mut running.echo else {
            return true;
        };
        let top = running.spec.logprobs.unwrap_or(0);
        if echo.is_empty() {
            let token = running.tokens[0];
            let mut bytes = Vec::new();
            self.engine.token_bytes(token, true, &mut bytes);
            // Nothing comes before the first token, so nothing says how likely it was.
            echo.push(TokenLogprob {
                token,
                bytes,
                logprob: f32::NAN,
                top: Vec::new(),
            });
        }
        let before = (running.computed - part.tokens) as usize;
        for offset in 0..part.tokens as usize {
            let next = before + offset + 1;
            if next >= running.prompt_tokens as usize {
                break;
            }
            let logits = self.engine.logits(part.first + offset);
            echo.push(token_logprob(
                &self.engine,
                logits,
                running.tokens[next],
                top,
            ));
        }
        if running.missing() > 0 {
            return false;
        }
        let accepted = Accepted {
            prompt_tokens: running.prompt_tokens,
            cached_tokens: 0,
            queued: self
                .jobs
                .get(&running.job)
                .zip(running.started)
                .map_or(std::time::Duration::ZERO, |(job, started)| {
                    job.age(started.min(now))
                }),
            prompt: running.echo.take().unwrap_or_default(),
        };
        // The channel is empty before this, so it can only be closed, which the next step finds.
        let _ = running.spec.events.try_send(Event::Accepted(accepted));
        if let Some(job) = self.jobs.get_mut(&running.job) {
            job.accepted = true;
        }
        true
    }

    /// Ends a choice; its cells stay as a cached prefix.
    fn finish(
        &mut self,
        index: usize,
        mut piece: Piece,
        reason: FinishReason,
        stop_sequence: Option<String>,
        now: Instant,
    ) {
        let generation = self.running.remove(index);
        self.leave(generation.sequence);
        piece.choice = generation.choice;
        let finish = generation.finish(reason, stop_sequence, now);
        let Some(job) = self.jobs.get_mut(&generation.job) else {
            return;
        };
        if let Some(place) = job.endings.pop() {
            place.send(Event::Finished(piece, finish));
        }
        job.open -= 1;
        if job.open == 0 {
            self.jobs.remove(&generation.job);
        }
    }
}

/// Adds the next `tokens` missing tokens of a choice to the batch.
fn push_part(batch: &mut Vec<BatchEntry>, running: &Generation, tokens: u32) -> Part {
    let first = batch.len();
    let sequence = running.sequence.unwrap_or_default();
    let last = running.computed + running.missing() - 1;
    let every_row = running.echo.is_some();
    for position in running.computed..running.computed + tokens {
        batch.push(BatchEntry {
            token: running.tokens[position as usize],
            position,
            sequence,
            wants_logits: every_row || position == last,
        });
    }
    Part {
        order: running.order,
        first,
        tokens,
    }
}
