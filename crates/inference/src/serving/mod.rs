//! Serving one model to many requests: what stands between an [`crate::engine::Engine`] and text streams.

pub mod grammar;
pub mod sampler;
pub mod stop;
pub mod text;
