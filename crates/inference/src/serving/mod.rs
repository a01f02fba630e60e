//! Serving one model to many requests: what stands between an [`crate::engine::Engine`] and text streams.

mod admission;
mod batch;
pub mod budget;
mod embed;
pub mod engine_loop;
mod generation;
pub mod grammar;
pub mod handle;
mod output;
pub mod prefix;
pub mod request;
pub mod sampler;
mod shelf;
pub mod stop;
pub mod text;

#[cfg(test)]
mod tests;
