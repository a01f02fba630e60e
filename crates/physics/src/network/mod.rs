//! Feed-forward networks: the string theory network and the two baselines that waves are compared with.
//!
//! One engine, [`Perceptron`], computes all of them on `kernels::dense`, forward and backward by hand. A framework gave neither
//! less code (three layer kinds) nor more speed on a processor: its tangent is a scalar call per element, and every operation
//! allocates. The accelerator's path does use one.

mod backward;
mod forward;
pub mod fourier;
mod normalisation;
mod perceptron;

#[cfg(test)]
mod tests;

pub use fourier::FourierFeatures;
pub use perceptron::{Activation, Perceptron, Shape};

/// The most neurons of a hidden layer: a square layer of 64 MB.
pub const HIDDEN_MAX: usize = 4_096;
/// The most inputs of a network.
pub const INPUTS_MAX: usize = 4_096;
/// The most hidden layers; more are clamped, as the compatible behaviour asks.
pub const LAYERS_MAX: usize = 10;
/// The most rows of one batch.
pub const ROWS_MAX: usize = 1 << 20;

/// The string theory network: `dimensions` inputs, `layers` hidden layers of `hidden` neurons with a hyperbolic tangent, one
/// output.
#[derive(Debug, Clone, PartialEq)]
pub struct StringNetworkOptions {
    /// Inputs.
    pub dimensions: usize,
    /// Neurons per hidden layer.
    pub hidden: usize,
    /// Hidden layers; clamped to 1..=10.
    pub layers: usize,
    /// Whether a batch normalisation stands before each tangent.
    pub batch_norm: bool,
}

impl Default for StringNetworkOptions {
    fn default() -> Self {
        StringNetworkOptions {
            dimensions: 10,
            hidden: 64,
            layers: 2,
            batch_norm: false,
        }
    }
}

impl StringNetworkOptions {
    /// The network's shape, its layers clamped.
    pub fn shape(&self) -> Shape {
        Shape {
            inputs: self.dimensions,
            hidden: self.hidden,
            layers: self.layers.clamp(1, LAYERS_MAX),
            outputs: 1,
            batch_norm: self.batch_norm,
            activation: Activation::Tangent,
        }
    }
}
