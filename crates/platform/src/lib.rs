//! The machine behind seams: what the product needs from the operating system, so that the rest can be tested
//! without it.

pub mod clock;
pub mod entropy;
pub mod secret;

pub use secret::Secret;
