//! The exact result cache: what a deterministic call answered, kept in memory, on disk and in Redis.
//!
//! Policy and tiers only. Keys are texts that the caller made from the canonical request, the model's digest and the
//! tenant; values are bytes that it encoded. Nothing here is asynchronous: the memory tier answers at once, the others
//! block and belong on a blocking thread. What must always hold:
//! 1. A value is returned only for the key and tenant it was stored under, and never after its time to live.
//! 2. A damaged, foreign or unreadable entry is a miss, never an error and never a wrong value.
//! 3. Every tier has a bound. Redis being slow or gone costs misses, never a failed request.

pub mod disk;
pub mod flight;
mod frame;
pub mod key;
pub mod memory;
pub mod remote;
pub mod statistics;
pub mod tiers;

pub use flight::{Lead, Turn, Waiting};
pub use key::Key;
pub use statistics::{KindStatistics, RemoteState, Statistics};
pub use tiers::{Cache, CacheError, CacheOptions};

use std::sync::Arc;

/// What was stored. Cheap to clone; callers can never change the stored bytes.
pub type Value = Arc<[u8]>;
