//! Arithmetic with SIMD and a scalar twin for each kernel, chosen at run time.
//!
//! Every kernel exists once in plain Rust (the twin, which is its definition) and again for each instruction set that
//! pays. Nothing here allocates, blocks or reads the environment, and well-shaped input never panics.

pub mod dense;
pub mod dispatch;
pub mod waves;
