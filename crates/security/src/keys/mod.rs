//! API keys: their text, their records, and the SQLite file that holds them.

pub mod error;
pub mod record;
pub mod store;
pub mod token;

mod cache;
mod schema;
#[cfg(test)]
mod tests;
