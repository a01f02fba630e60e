//! Log-probabilities of the model's own distribution: before bias, penalties, temperature, cuts and grammar, as
//! OpenAI reports them.

use super::select::{self, Candidate};
use crate::engine::Token;

/// Log-probability of a token and its best alternatives.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Natural logarithm of the token's probability; at most 0.
    pub logprob: f32,
    /// The most likely tokens with theirs, best first (the lower token among equals); may hold the token itself.
    pub top: Vec<(Token, f32)>,
}

/// Log-probability of `token` in a raw row of logits, with the `top` most likely tokens. A token outside of the
/// row has -∞.
#[must_use]
pub fn log_probabilities(logits: &[f32], token: Token, top: usize) -> TokenLogprobs {
    let Some((_, best)) = select::best(logits) else {
        return TokenLogprobs {
            logprob: f32::NEG_INFINITY,
            top: Vec::new(),
        };
    };
    let sum: f64 = logits
        .chunks(1024)
        .map(|block| select::weight_sum(block, best, 1.0))
        .sum();
    let log_sum = f64::from(best) + sum.ln();
    let logprob = |logit: f32| ((f64::from(logit) - log_sum) as f32).min(0.0);
    let mut candidates: Vec<Candidate> = Vec::new();
    if top > 0 {
        select::top(logits, top, f32::NEG_INFINITY, &mut candidates);
        candidates.sort_unstable_by(select::heavier_first);
    }
    TokenLogprobs {
        logprob: logits
            .get(token as usize)
            .map_or(f32::NEG_INFINITY, |&logit| logprob(logit)),
        top: candidates
            .iter()
            .map(|candidate| (candidate.token, logprob(candidate.weight)))
            .collect(),
    }
}
