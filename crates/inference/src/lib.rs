//! Models of this machine: the engine contract, the serving loop, runner processes, model files and the store.

pub mod engine;
pub mod engines;
pub mod files;
pub mod runner;
pub mod serving;
pub mod store;
pub mod templates;
