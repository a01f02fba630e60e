//! From a row of logits to a token.
//!
//! Order of the transformations, each optional: logit bias, penalties, suppressed and forbidden tokens,
//! temperature, top-k, typical-p, top-p, min-p, draw. Temperature comes before the cuts, so that the cuts see
//! the distribution that is drawn from (as in OpenAI's description and in most servers; llama.cpp's own chain
//! applies it last).
//!
//! A whole vocabulary is never sorted: greedy is one pass, every cut is a threshold or a selection in expected
//! linear time ([`select`]). One seed and one sequence of logits give one sequence of tokens, on every machine.

mod logprobs;
mod select;

pub use logprobs::{TokenLogprobs, log_probabilities};
use platform::random::Random;

use std::collections::{HashMap, VecDeque};

use super::grammar::Grammar;
use super::grammar::TokenMask;
use crate::engine::{EngineError, Token};
use select::Candidate;

/// Most entries of a logit-bias map; OpenAI's limit is of the same order.
pub const LOGIT_BIAS_MAX: usize = 4096;
/// Most tokens that the repetition penalty looks back on.
pub const REPEAT_LAST_MAX: u32 = 65_536;

/// How one stream is sampled. Plain numbers as a request brings them; [`SamplerOptions::validate`] checks them.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keeps the most likely tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps this many of the most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Drops tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest to the entropy and that together reach this probability; 1 keeps all.
    pub typical_p: f32,
    /// Divides positive and multiplies negative logits of tokens among the last `repeat_last_tokens`; 1 is none.
    pub repeat_penalty: f32,
    /// How many tokens of prompt and output the repetition penalty looks back on.
    pub repeat_last_tokens: u32,
    /// Subtracted from the logit of every token that the output already holds.
    pub presence_penalty: f32,
    /// Subtracted once per occurrence in the output.
    pub frequency_penalty: f32,
    /// Seed of the draws.
    pub seed: u64,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(Token, f32)>,
    /// End-of-generation tokens are suppressed until the output has this many tokens; `u32::MAX` ignores them.
    pub tokens_min: u32,
}

impl Default for SamplerOptions {
    /// The plain distribution of the model: temperature 1, nothing cut, nothing penalised, seed 0.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_tokens: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
            logit_bias: Vec::new(),
            tokens_min: 0,
        }
    }
}

impl SamplerOptions {
    /// Checks every number against its range and the bias against the vocabulary's size.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] naming the first field out of range.
    pub fn validate(&self, vocabulary: u32) -> Result<(), EngineError> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 0.01, 100.0),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(EngineError::Invalid {
                    what: format!("{name} must be between {low} and {high}"),
                });
            }
        }
        if self.repeat_last_tokens > REPEAT_LAST_MAX {
            return Err(EngineError::Invalid {
                what: format!("repeat_last_n must not exceed {REPEAT_LAST_MAX}"),
            });
        }
        if self.logit_bias.len() > LOGIT_BIAS_MAX {
            return Err(EngineError::Invalid {
                what: format!("logit_bias must not have more than {LOGIT_BIAS_MAX} entries"),
            });
        }
        for &(token, bias) in &self.logit_bias {
            if token >= vocabulary || bias.is_nan() {
                return Err(EngineError::Invalid {
                    what: format!("logit_bias has no valid entry for token {token}"),
                });
            }
        }
        Ok(())
    }
}

/// Sampler of one stream: its options, its history and its random numbers.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    end_of_generation: Vec<Token>,
    random: Random,
    /// Output tokens with their number of occurrences.
    output_counts: HashMap<Token, u32>,
    output_tokens: u32,
    /// The last `repeat_last_tokens` tokens of prompt and output, and how often each is among them.
    recent: VecDeque<Token>,
    recent_counts: HashMap<Token, u32>,
    /// Adjusted copy of the row; kept to save the allocation per token.
    row: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for one stream. `options` must have passed [`SamplerOptions::validate`].
    #[must_use]
    pub fn new(options: SamplerOptions, end_of_generation: &[Token]) -> Self {
        Self {
            random: Random::new(options.seed),
            end_of_generation: end_of_generation.to_vec(),
            options,
            output_counts: HashMap::new(),
            output_tokens: 0,
            recent: VecDeque::new(),
            recent_counts: HashMap::new(),
            row: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Tells the repetition penalty what the prompt was. Call once, before the first [`Sampler::sample`].
    pub fn prime(&mut self, prompt: &[Token]) {
        let window = self.options.repeat_last_tokens as usize;
        for &token in &prompt[prompt.len().saturating_sub(window)..] {
            self.remember(token);
        }
    }

    /// Chooses the next token. With a grammar the free choice is checked first, and the whole mask is computed
    /// only when it is refused: the result has the distribution of the masked row either way.
    ///
    /// Does not record the choice: call [`Sampler::accept`] (and [`Grammar::accept`]) with the token that the
    /// stream really takes.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the grammar allows no token; [`EngineError::Poisoned`] when the row holds
    /// no number.
    pub fn sample(
        &mut self,
        logits: &[f32],
        grammar: Option<&mut Grammar>,
    ) -> Result<Token, EngineError> {
        let free = self.choose(logits, None);
        let Some(grammar) = grammar else {
            return free.ok_or_else(no_number);
        };
        let free = free.ok_or_else(no_number)?;
        if grammar.check(free) {
            return Ok(free);
        }
        let mask = grammar.mask()?;
        self.choose(logits, Some(mask))
            .ok_or_else(|| EngineError::Invalid {
                what: "the grammar allows no token here".into(),
            })
    }

    /// Records a token of the output.
    pub fn accept(&mut self, token: Token) {
        self.output_tokens = self.output_tokens.saturating_add(1);
        *self.output_counts.entry(token).or_insert(0) += 1;
        self.remember(token);
    }

    fn remember(&mut self, token: Token) {
        let window = self.options.repeat_last_tokens as usize;
        if window == 0 || self.options.repeat_penalty == 1.0 {
            return;
        }
        if self.recent.len() == window
            && let Some(old) = self.recent.pop_front()
            && let Some(count) = self.recent_counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.recent_counts.remove(&old);
            }
        }
        self.recent.push_back(token);
        *self.recent_counts.entry(token).or_insert(0) += 1;
    }

    /// The choice among the tokens of `mask` (all when none); `None` when no token is left.
    fn choose(&mut self, logits: &[f32], mask: Option<&TokenMask>) -> Option<Token> {
        let mut row = std::mem::take(&mut self.row);
        let chosen = if self.adjusts() || mask.is_some() {
            row.clear();
            row.extend_from_slice(logits);
            self.adjust(&mut row, mask, true);
            let chosen = self.draw(&row);
            if chosen.is_none() && self.suppresses_end() {
                // A grammar that allows nothing but the end is stronger than a wish for more tokens.
                row.clear();
                row.extend_from_slice(logits);
                self.adjust(&mut row, mask, false);
                self.draw(&row)
            } else {
                chosen
            }
        } else {
            self.draw(logits)
        };
        self.row = row;
        chosen
    }

    fn suppresses_end(&self) -> bool {
        self.output_tokens < self.options.tokens_min
    }

    /// Whether anything changes the row before temperature.
    fn adjusts(&self) -> bool {
        let options = &self.options;
        !options.logit_bias.is_empty()
            || self.suppresses_end()
            || !self.recent_counts.is_empty()
            || ((options.presence_penalty != 0.0 || options.frequency_penalty != 0.0)
                && !self.output_counts.is_empty())
    }

    fn adjust(&self, row: &mut [f32], mask: Option<&TokenMask>, suppress: bool) {
        let options = &self.options;
        for &(token, bias) in &options.logit_bias {
            if let Some(logit) = row.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for &token in self.recent_counts.keys() {
            if let Some(logit) = row.get_mut(token as usize) {
                if *logit > 0.0 {
                    *logit /= options.repeat_penalty;
                } else {
                    *logit *= options.repeat_penalty;
                }
            }
        }
        if options.presence_penalty != 0.0 || options.frequency_penalty != 0.0 {
            for (&token, &count) in &self.output_counts {
                if let Some(logit) = row.get_mut(token as usize) {
                    *logit -= options.presence_penalty + options.frequency_penalty * count as f32;
                }
            }
        }
        if suppress && self.suppresses_end() {
            for &token in &self.end_of_generation {
                if let Some(logit) = row.get_mut(token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        if let Some(mask) = mask {
            mask.forbid(row);
        }
    }

    /// Temperature, cuts and the draw over an adjusted row.
    fn draw(&mut self, row: &[f32]) -> Option<Token> {
        let (best, best_logit) = select::best(row)?;
        let options = &self.options;
        if options.temperature == 0.0 || options.top_k == 1 || best_logit == f32::INFINITY {
            return Some(best);
        }
        let scale = 1.0 / options.temperature;
        let cuts = options.top_k > 0
            || options.top_p < 1.0
            || options.typical_p < 1.0
            || options.min_p > 0.0;
        if !cuts {
            return Some(
                select::draw_row(row, best_logit, scale, &mut self.random).unwrap_or(best),
            );
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        select::survivors(row, best_logit, scale, options, &mut candidates);
        let chosen = select::draw_candidates(&candidates, &mut self.random).unwrap_or(best);
        self.candidates = candidates;
        Some(chosen)
    }
}

fn no_number() -> EngineError {
    EngineError::Poisoned {
        reason: "the model computed a row of logits without a number".into(),
    }
}

#[cfg(test)]
mod tests;
