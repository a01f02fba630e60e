//! Adam (Kingma and Ba, ICLR 2015, algorithm 1), in double precision.

use serde::{Deserialize, Serialize};

/// The decay of both moments and the term that keeps the step finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdamOptions {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamOptions {
    /// The paper's values.
    fn default() -> Self {
        AdamOptions {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// The moments after some steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Steps taken.
    pub steps: u64,
    /// The running mean of each derivative.
    pub first: Vec<f64>,
    /// The running mean of each derivative's square.
    pub second: Vec<f64>,
}

impl Adam {
    /// No steps yet, for `count` parameters.
    pub fn new(count: usize) -> Self {
        Adam {
            steps: 0,
            first: vec![0.0; count],
            second: vec![0.0; count],
        }
    }

    /// Moves `parameters` one step against `gradient`.
    ///
    /// # Panics
    /// When the numbers of values differ.
    pub fn step(
        &mut self,
        options: AdamOptions,
        learning_rate: f64,
        parameters: &mut [f64],
        gradient: &[f64],
    ) {
        assert_eq!(parameters.len(), self.first.len());
        assert_eq!(gradient.len(), self.first.len());
        self.steps += 1;
        // Beyond 2^31 steps both corrections are 1 to the last digit.
        let power = self.steps.min(i32::MAX as u64) as i32;
        let first_share = 1.0 - options.beta1.powi(power);
        let second_share = 1.0 - options.beta2.powi(power);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, by), (first, second)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *first += (1.0 - options.beta1) * (by - *first);
            *second += (1.0 - options.beta2) * (by * by - *second);
            let spread = (*second / second_share).sqrt() + options.epsilon;
            *parameter -= learning_rate * (*first / first_share) / spread;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_match_the_algorithm_worked_by_hand() {
        // One parameter, derivatives 0.5 then -0.25. Step 1 moves by the rate (its corrections cancel); step 2:
        // m = 0.9*0.05 - 0.1*0.25 = 0.02, v = 0.999*2.5e-4 + 0.001*0.0625 = 3.1225e-4,
        // m / 0.19 = 0.105263..., v / 0.001999 = 0.156203...
        let mut adam = Adam::new(1);
        let mut parameters = [1.0];
        let options = AdamOptions::default();
        adam.step(options, 0.01, &mut parameters, &[0.5]);
        assert!((parameters[0] - 0.99).abs() < 1e-9);
        adam.step(options, 0.01, &mut parameters, &[-0.25]);
        let expected = 0.99 - 0.01 * (0.02 / 0.19) / (3.1225e-4f64 / 0.001_999).sqrt();
        assert!((parameters[0] - expected).abs() < 1e-9);
    }
}
