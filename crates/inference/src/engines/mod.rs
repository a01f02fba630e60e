//! The model libraries, one module each, behind [`crate::engine::Engine`].

#[cfg(feature = "llama")]
pub mod llama;
