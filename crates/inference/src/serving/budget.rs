//! How many prompt tokens one step may compute, from the speed measured so far.
//!
//! While a stream is decoding, a step must end within the step budget, or everybody's text stutters; a prompt is
//! therefore computed in chunks. On a processor a chunk of a few dozen tokens is already as efficient as a large
//! one; on an accelerator the same time simply buys a larger chunk.

use std::time::Duration;

/// Fewest prompt tokens of a step beside decoding streams: below this the fixed cost of a step dominates and the
/// whole prompt takes longer (measured on two cores: 64 tokens a step cost a fifth more than 128).
const CHUNK_TOKENS_MIN: u32 = 32;
/// Fewest prompt tokens of a step in which nothing decodes.
const IDLE_CHUNK_TOKENS_MIN: u32 = 64;
/// A step in which nothing decodes may take this many budgets: nobody's text waits, only a cancellation or a
/// newcomer does, and each step less is a graph less to build.
const IDLE_BUDGETS: u32 = 2;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.25;
/// Steps with fewer tokens say more about the fixed cost than about the speed of a prompt.
const MEASURED_TOKENS_MIN: u32 = 16;
/// Speed assumed before the first measurement: a slow machine's, so that the first step is short.
const ASSUMED_SECONDS_PER_TOKEN: f64 = 0.002;

/// The adaptive budget of prompt tokens per step.
#[derive(Debug, Clone)]
pub struct StepBudget {
    step: Duration,
    seconds_per_token: f64,
    measured: bool,
}

impl StepBudget {
    /// A budget that aims at steps of `step`.
    #[must_use]
    pub fn new(step: Duration) -> Self {
        Self {
            step,
            seconds_per_token: ASSUMED_SECONDS_PER_TOKEN,
            measured: false,
        }
    }

    /// Learns from a step that computed `tokens` in `elapsed`.
    pub fn record(&mut self, tokens: u32, elapsed: Duration) {
        if tokens < MEASURED_TOKENS_MIN {
            return;
        }
        let seconds = elapsed.as_secs_f64() / f64::from(tokens);
        if self.measured {
            self.seconds_per_token += NEWEST * (seconds - self.seconds_per_token);
        } else {
            self.seconds_per_token = seconds;
            self.measured = true;
        }
    }

    /// Prompt tokens for a step in which `decoding` streams each take one token as well.
    #[must_use]
    pub fn prompt_tokens(&self, decoding: u32) -> u32 {
        let (budgets, least) = if decoding == 0 {
            (IDLE_BUDGETS, IDLE_CHUNK_TOKENS_MIN)
        } else {
            (1, CHUNK_TOKENS_MIN)
        };
        let time = self.step.as_secs_f64() * f64::from(budgets);
        // Saturating: a clock that measured nothing gives infinity, and the batch limit then decides.
        let fits = (time / self.seconds_per_token.max(1e-9)) as u32;
        fits.saturating_sub(decoding).max(least)
    }

    /// Seconds that `tokens` of prompt are expected to take.
    #[must_use]
    pub fn expected(&self, tokens: u32) -> Duration {
        Duration::from_secs_f64(f64::from(tokens) * self.seconds_per_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_the_measured_speed() {
        let mut budget = StepBudget::new(Duration::from_millis(150));
        assert_eq!(budget.prompt_tokens(1), 74);
        // 480 tokens a second, as a small model on two cores does.
        budget.record(480, Duration::from_secs(1));
        assert_eq!(budget.prompt_tokens(4), 68);
        assert_eq!(budget.prompt_tokens(0), 144);
        // Ten times slower: the chunk shrinks step by step, never below the least.
        for _ in 0..40 {
            budget.record(48, Duration::from_secs(1));
        }
        assert_eq!(budget.prompt_tokens(4), CHUNK_TOKENS_MIN);
        assert_eq!(budget.prompt_tokens(0), IDLE_CHUNK_TOKENS_MIN);
        // Tiny steps teach nothing.
        let before = budget.expected(1000);
        budget.record(1, Duration::from_secs(9));
        assert_eq!(budget.expected(1000), before);
    }
}
