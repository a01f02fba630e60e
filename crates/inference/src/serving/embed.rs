//! Embedding and ranking, batched over requests.
//!
//! Inputs of all requests take turns, one each, so a request of a thousand texts does not hold up one of a single
//! text. One step computes as many as fit a batch; while streams decode, as many as fit the step budget.

use std::collections::VecDeque;

use super::budget::StepBudget;
use super::engine_loop::ServingLoop;
use super::request::{EmbedJob, Embedded, Failure, FailureKind, RerankJob, Reranked};
use crate::engine::{Engine, EngineError, Token};
use tokio::sync::oneshot;

/// Most inputs of one request. OpenAI's limit for embeddings is 2,048.
pub const INPUTS_MAX: usize = 4096;

/// Embedding and ranking requests that are not done.
pub(super) struct PooledQueue {
    requests: VecDeque<Pooled>,
    queue_max: usize,
    budget: Option<StepBudget>,
}

struct Pooled {
    /// Tokens of each input, taken when computed.
    inputs: Vec<Vec<Token>>,
    tokens: Vec<u32>,
    /// First input that has not been taken into a batch.
    next: usize,
    /// One row per input; a score is a row of one number.
    rows: Vec<Vec<f32>>,
    reply: Reply,
}

enum Reply {
    Embed {
        normalize: bool,
        to: oneshot::Sender<Result<Embedded, Failure>>,
    },
    Rank {
        to: oneshot::Sender<Result<Reranked, Failure>>,
    },
}

impl Reply {
    fn is_closed(&self) -> bool {
        match self {
            Reply::Embed { to, .. } => to.is_closed(),
            Reply::Rank { to } => to.is_closed(),
        }
    }

    fn is_rank(&self) -> bool {
        matches!(self, Reply::Rank { .. })
    }

    /// Answers with a failure; who does not wait any more does not hear it.
    fn fail(self, failure: Failure) {
        match self {
            Reply::Embed { to, .. } => drop(to.send(Err(failure))),
            Reply::Rank { to } => drop(to.send(Err(failure))),
        }
    }
}

impl PooledQueue {
    pub(super) fn new(queue_max: usize) -> Self {
        Self {
            requests: VecDeque::new(),
            queue_max,
            budget: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Drops requests that nobody waits for; with `everything`, ends all.
    pub(super) fn reap(&mut self, everything: bool) {
        self.requests.retain(|request| !request.reply.is_closed());
        if everything {
            for request in self.requests.drain(..) {
                let message = "the model is being unloaded";
                request
                    .reply
                    .fail(Failure::new(FailureKind::Cancelled, message));
            }
        }
    }
}

impl<E: Engine> ServingLoop<E> {
    pub(super) fn submit_embed(&mut self, job: EmbedJob) {
        let reply = Reply::Embed {
            normalize: job.normalize,
            to: job.reply,
        };
        let capable = self.limits.embeds && self.limits.embedding_dimensions > 0;
        if let Err(failure) = self.examine_pooled(capable, "embed texts", job.inputs.len()) {
            reply.fail(failure);
            return;
        }
        let most = self.context_tokens().min(self.limits.batch_tokens_max) as usize;
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for (index, input) in job.inputs.iter().enumerate() {
            let field = format!("input[{index}]");
            match self.tokens_of(input, true, false, &field) {
                Ok(mut tokens) => {
                    if job.truncate && tokens.len() > most {
                        self.cut(&mut tokens, most);
                    }
                    inputs.push(tokens);
                }
                Err(failure) => {
                    reply.fail(failure);
                    return;
                }
            }
        }
        self.queue_pooled(inputs, "input", reply);
    }

    /// Cuts an input to `most` tokens; an end token that the tokenizer set stays the last.
    fn cut(&self, tokens: &mut Vec<Token>, most: usize) {
        let last = tokens.last().copied();
        tokens.truncate(most);
        if last.is_some() && last == self.engine.special_tokens().end {
            tokens.pop();
            tokens.extend(last);
        }
    }

    pub(super) fn submit_rerank(&mut self, job: RerankJob) {
        let reply = Reply::Rank { to: job.reply };
        let pairs = self
            .examine_pooled(self.limits.ranks, "rank documents", job.documents.len())
            .and_then(|()| self.pairs(&job.query, &job.documents));
        match pairs {
            Ok(pairs) => self.queue_pooled(pairs, "documents", reply),
            Err(failure) => reply.fail(failure),
        }
    }

    /// One sequence for each document: the query framed as the tokenizer frames a text, then the document and an
    /// end token, as cross-encoders of the BERT family are trained (`[CLS] query [SEP] document [SEP]`).
    fn pairs(&self, query: &str, documents: &[String]) -> Result<Vec<Vec<Token>>, Failure> {
        let invalid = |error: EngineError| Failure::invalid("query", error.to_string());
        let special = self.engine.special_tokens();
        let query = self.engine.tokenize(query, false, false).map_err(invalid)?;
        documents
            .iter()
            .map(|document| {
                let document = self
                    .engine
                    .tokenize(document, false, false)
                    .map_err(invalid)?;
                let mut pair = Vec::with_capacity(query.len() + document.len() + 3);
                pair.extend(special.begin);
                pair.extend_from_slice(&query);
                pair.extend(special.end);
                pair.extend(document);
                pair.extend(special.end);
                Ok(pair)
            })
            .collect()
    }

    fn examine_pooled(&self, capable: bool, what: &str, inputs: usize) -> Result<(), Failure> {
        if self.draining.is_some() {
            let message = "the model is being unloaded";
            return Err(Failure::overloaded(
                message,
                std::time::Duration::from_secs(1),
            ));
        }
        if !capable {
            let message = format!("this model does not {what}");
            return Err(Failure::new(FailureKind::Unsupported, message));
        }
        if inputs > INPUTS_MAX {
            return Err(Failure::invalid(
                "input",
                format!("at most {INPUTS_MAX} inputs"),
            ));
        }
        if self.pooled.requests.len() >= self.pooled.queue_max {
            let retry_after = self.drain_rate.retry_after(self.pooled.requests.len());
            return Err(Failure::overloaded(
                "too many requests wait for this model",
                retry_after,
            ));
        }
        Ok(())
    }

    /// Checks lengths and queues; a request without inputs is answered at once.
    fn queue_pooled(&mut self, inputs: Vec<Vec<Token>>, field: &str, reply: Reply) {
        let most = self.context_tokens().min(self.limits.batch_tokens_max) as usize;
        for (index, input) in inputs.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if input.is_empty() {
                reply.fail(Failure::invalid(&field, "the input is empty"));
                return;
            }
            if input.len() > most {
                reply.fail(Failure::context_exceeded(&field, input.len(), most));
                return;
            }
        }
        let tokens = inputs
            .iter()
            .map(|input| u32::try_from(input.len()).unwrap_or(u32::MAX))
            .collect();
        let request = Pooled {
            rows: vec![Vec::new(); inputs.len()],
            tokens,
            next: 0,
            inputs,
            reply,
        };
        if request.inputs.is_empty() {
            answer(request);
            return;
        }
        self.stats.prompt_tokens += request
            .tokens
            .iter()
            .map(|tokens| u64::from(*tokens))
            .sum::<u64>();
        self.pooled.requests.push_back(request);
    }

    /// Computes one batch of inputs; false when none waits.
    pub(super) fn compute_pooled(&mut self) -> Result<bool, EngineError> {
        let Some(front) = self.pooled.requests.front() else {
            return Ok(false);
        };
        let rank = front.reply.is_rank();
        let streams = self.running.iter().any(|running| running.is_runnable());
        let (places, inputs) = self.gather(rank, streams);
        let tokens: usize = inputs.iter().map(Vec::len).sum();
        let begun = self.clock.now();
        let computed = if rank {
            self.engine
                .rank(&inputs)
                .map(|scores| scores.into_iter().map(|score| vec![score]).collect())
        } else {
            self.engine.embed(&inputs)
        };
        let elapsed = self.clock.now().saturating_duration_since(begun);
        self.stats.steps += 1;
        self.stats.busy += elapsed;
        self.pooled
            .budget
            .get_or_insert_with(|| StepBudget::new(self.options.step_budget))
            .record(u32::try_from(tokens).unwrap_or(u32::MAX), elapsed);
        match computed {
            Ok(rows) => {
                for ((request, input), row) in places.into_iter().zip(rows) {
                    self.pooled.requests[request].rows[input] = row;
                }
            }
            Err(EngineError::Interrupted) => {
                for (request, input) in places.into_iter().rev() {
                    self.pooled.requests[request].next = input;
                }
                return Ok(true);
            }
            Err(error @ EngineError::Poisoned { .. }) => return Err(error),
            Err(error) => {
                let mut failed: Vec<usize> =
                    places.into_iter().map(|(request, _)| request).collect();
                failed.sort_unstable();
                failed.dedup();
                for request in failed.into_iter().rev() {
                    if let Some(request) = self.pooled.requests.remove(request) {
                        let failure = Failure::new(FailureKind::Engine, error.to_string());
                        request.reply.fail(failure);
                    }
                }
            }
        }
        self.answer_complete();
        Ok(true)
    }

    /// Takes inputs of the same kind, one of each request in turn, until the batch or the time is full.
    fn gather(&mut self, rank: bool, streams: bool) -> (Vec<(usize, usize)>, Vec<Vec<Token>>) {
        let time = match &self.pooled.budget {
            Some(budget) if streams => budget.prompt_tokens(1),
            // Before the first measurement a batch is small while somebody would notice.
            None if streams => StepBudget::new(self.options.step_budget).prompt_tokens(1),
            _ => u32::MAX,
        };
        let most = time.min(self.limits.batch_tokens_max) as usize;
        let (mut places, mut inputs, mut tokens) = (Vec::new(), Vec::new(), 0);
        loop {
            let before = inputs.len();
            for (place, request) in self.pooled.requests.iter_mut().enumerate() {
                if request.reply.is_rank() != rank || request.next == request.inputs.len() {
                    continue;
                }
                let length = request.inputs[request.next].len();
                // The first input always goes: it is no longer than a batch.
                if tokens > 0 && tokens + length > most {
                    continue;
                }
                tokens += length;
                places.push((place, request.next));
                inputs.push(request.inputs[request.next].clone());
                request.next += 1;
            }
            if inputs.len() == before {
                return (places, inputs);
            }
        }
    }

    fn answer_complete(&mut self) {
        let mut index = 0;
        while index < self.pooled.requests.len() {
            let request = &self.pooled.requests[index];
            let complete = request.next == request.inputs.len()
                && request.rows.iter().all(|row| !row.is_empty());
            match complete
                .then(|| self.pooled.requests.remove(index))
                .flatten()
            {
                Some(request) => {
                    self.drain_rate.departed(self.clock.now());
                    answer(request);
                }
                None => index += 1,
            }
        }
        // Whoever is now at the front decides the next batch's kind; going round keeps both kinds moving.
        if self.pooled.requests.len() > 1 {
            self.pooled.requests.rotate_left(1);
        }
    }
}

fn answer(request: Pooled) {
    match request.reply {
        Reply::Embed { normalize, to } => {
            let mut vectors = request.rows;
            if normalize {
                vectors.iter_mut().for_each(|vector| scale_to_one(vector));
            }
            let tokens = request.tokens;
            // Who does not wait any more does not hear it.
            let _ = to.send(Ok(Embedded { vectors, tokens }));
        }
        Reply::Rank { to } => {
            let scores = request.rows.into_iter().flatten().collect();
            let tokens = request.tokens.iter().sum();
            let _ = to.send(Ok(Reranked { scores, tokens }));
        }
    }
}

/// Scales a vector to Euclidean length 1; a vector of zeros stays as it is.
fn scale_to_one(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    if square > 0.0 {
        let factor = 1.0 / square.sqrt();
        for value in vector {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
}
