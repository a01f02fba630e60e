//! From sampled tokens to told text: one [`Output`] per choice.
//!
//! A token goes through the sampler, the grammar, the stop matcher (bytes) and the UTF-8 decoder, in this order.
//! Log-probabilities wait until the text of their token is told, so that a client never sees the log-probability
//! of text that a stop string then withholds.

use std::collections::VecDeque;

use super::grammar::Grammar;
use super::request::{Failure, FailureKind, FinishReason, GenerateJob, TokenLogprob};
use super::sampler::{Sampler, SamplerOptions, log_probabilities};
use super::stop::StopMatcher;
use super::text::Utf8Decoder;
use crate::engine::{Engine, EngineError, Token};

/// Everything between the logits of one choice and its text.
pub(super) struct Output {
    sampler: Sampler,
    grammar: Option<Grammar>,
    stop: StopMatcher,
    decoder: Utf8Decoder,
    /// Bytes of all tokens so far, and how many of them the stop matcher has let through.
    bytes_seen: u64,
    bytes_released: u64,
    /// Log-probabilities not told yet, each with the value of `bytes_seen` after its token.
    logprobs: VecDeque<(u64, TokenLogprob)>,
    /// Output tokens so far, the end token included.
    pub tokens: u32,
    token_bytes: Vec<u8>,
    released: Vec<u8>,
}

/// What one token brought.
pub(super) struct Told {
    /// The token, to be computed next if the output goes on.
    pub token: Token,
    /// New text.
    pub text: String,
    /// Log-probabilities of what is told by now.
    pub logprobs: Vec<TokenLogprob>,
    /// Set when the output ends here.
    pub end: Option<(FinishReason, Option<String>)>,
}

impl Output {
    pub(super) fn new(job: &GenerateJob, choice: u32, prompt: &[Token], ends: &[Token]) -> Self {
        let options = SamplerOptions {
            seed: job.sampling.seed.wrapping_add(u64::from(choice)),
            ..job.sampling.clone()
        };
        let mut sampler = Sampler::new(options, ends);
        sampler.prime(prompt);
        Self {
            sampler,
            grammar: job.grammar.clone(),
            stop: StopMatcher::new(&job.stop),
            decoder: Utf8Decoder::new(),
            bytes_seen: 0,
            bytes_released: 0,
            logprobs: VecDeque::new(),
            tokens: 0,
            token_bytes: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Samples one token from batch row `row` and takes it as far as it goes. `tokens_max` is the output's limit.
    pub(super) fn advance<E: Engine>(
        &mut self,
        engine: &E,
        row: usize,
        job: &GenerateJob,
        tokens_max: u32,
    ) -> Result<Told, Failure> {
        let logits = engine.logits(row);
        let token = self
            .sampler
            .sample(logits, self.grammar.as_mut())
            .map_err(of_request)?;
        self.sampler.accept(token);
        if let Some(grammar) = &mut self.grammar {
            grammar.accept(token).map_err(of_request)?;
        }
        self.tokens += 1;
        let ends = engine.special_tokens().end_of_generation.contains(&token)
            || job.stop_tokens.contains(&token);
        let mut told = Told {
            token,
            text: String::new(),
            logprobs: Vec::new(),
            end: None,
        };
        if ends {
            if let Some(top) = job.logprobs {
                // It has no text; whoever sums over all tokens needs it all the same.
                let entry = token_logprob(engine, logits, token, top);
                self.logprobs.push_back((self.bytes_seen, entry));
            }
            self.close(&mut told.text);
            told.end = Some((FinishReason::Stop, None));
        } else {
            self.token_bytes.clear();
            engine.token_bytes(token, job.emit_special, &mut self.token_bytes);
            self.bytes_seen += self.token_bytes.len() as u64;
            if let Some(top) = job.logprobs {
                let entry = token_logprob(engine, logits, token, top);
                self.logprobs.push_back((self.bytes_seen, entry));
            }
            let bytes = std::mem::take(&mut self.token_bytes);
            let matched = self.tell(&bytes, &mut told.text);
            self.token_bytes = bytes;
            let complete = self.grammar.as_ref().is_some_and(Grammar::is_finished);
            if let Some(index) = matched {
                // A broken character right before the stop string will never be whole.
                self.decoder.finish(&mut told.text);
                told.end = Some((FinishReason::Stop, job.stop.get(index).cloned()));
            } else if complete || self.tokens >= tokens_max {
                self.close(&mut told.text);
                let reason = if complete {
                    FinishReason::Stop
                } else {
                    FinishReason::Length
                };
                told.end = Some((reason, None));
            }
        }
        self.take_logprobs(&mut told.logprobs);
        Ok(told)
    }

    fn tell(&mut self, bytes: &[u8], text: &mut String) -> Option<usize> {
        self.released.clear();
        let matched = self.stop.push(bytes, &mut self.released);
        self.bytes_released += self.released.len() as u64;
        self.decoder.push(&self.released, text);
        matched
    }

    /// Ends the text: what was held back belongs to it after all.
    fn close(&mut self, text: &mut String) {
        self.released.clear();
        self.stop.finish(&mut self.released);
        self.bytes_released += self.released.len() as u64;
        self.decoder.push(&self.released, text);
        self.decoder.finish(text);
    }

    fn take_logprobs(&mut self, out: &mut Vec<TokenLogprob>) {
        let told = self.bytes_released - self.decoder.held_bytes() as u64;
        while let Some((_, entry)) = self.logprobs.pop_front_if(|(end, _)| *end <= told) {
            out.push(entry);
        }
    }
}

/// A failure to sample concerns this request only: whatever else is in the batch has rows of its own.
fn of_request(error: EngineError) -> Failure {
    let kind = match error {
        EngineError::Invalid { .. } => FailureKind::Invalid,
        _ => FailureKind::Engine,
    };
    Failure::new(kind, error.to_string())
}

/// The log-probability of `token` and of the `top` likeliest in a row of logits, with their bytes.
pub(super) fn token_logprob<E: Engine>(
    engine: &E,
    logits: &[f32],
    token: Token,
    top: u32,
) -> TokenLogprob {
    let row = log_probabilities(logits, token, top as usize);
    let bytes_of = |token| {
        let mut bytes = Vec::new();
        engine.token_bytes(token, true, &mut bytes);
        bytes
    };
    TokenLogprob {
        token,
        bytes: bytes_of(token),
        logprob: row.logprob,
        top: row
            .top
            .into_iter()
            .map(|(token, logprob)| (token, bytes_of(token), logprob))
            .collect(),
    }
}
