//! Keys seen lately, so that a request does not wait for SQLite.
//!
//! 1. An entry lives at most [`CACHE_TTL`](super::store::CACHE_TTL), so a revocation by another process counts within
//!    that time.
//! 2. A revocation by this process counts at once: it removes the entry and raises the epoch, and a row that was read
//!    under an older epoch is not kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::KeyRecord;

/// Most entries; one is about 300 bytes. When it is full, all are dropped: they cost one query each to come back.
const ENTRIES_MAX: usize = 1024;

/// A key as read from the database.
#[derive(Debug)]
pub(super) struct KnownKey {
    pub(super) record: KeyRecord,
    pub(super) secret_hash: [u8; 32],
}

#[derive(Default)]
struct State {
    epoch: u64,
    entries: HashMap<String, (Arc<KnownKey>, Instant)>,
}

/// The entries behind their lock, which is never held across a wait.
pub(super) struct KeyCache {
    ttl: Duration,
    state: Mutex<State>,
}

impl KeyCache {
    pub(super) fn new(ttl: Duration) -> Self {
        KeyCache {
            ttl,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before it can panic, so a poisoned lock still guards good data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of `id` if it is fresh, and the epoch to give back to [`KeyCache::keep`].
    pub(super) fn look_up(&self, id: &str) -> (Option<Arc<KnownKey>>, u64) {
        let state = self.state();
        let fresh = state
            .entries
            .get(id)
            .filter(|(_, read)| read.elapsed() < self.ttl);
        (fresh.map(|(known, _)| Arc::clone(known)), state.epoch)
    }

    /// Keeps `known`, read from the database after `epoch` was seen.
    pub(super) fn keep(&self, known: &Arc<KnownKey>, epoch: u64) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        if state.entries.len() >= ENTRIES_MAX {
            state.entries.clear();
        }
        state
            .entries
            .insert(known.record.id.clone(), (Arc::clone(known), Instant::now()));
    }

    /// Forgets `id`, and whatever is being read at this moment.
    pub(super) fn forget(&self, id: &str) {
        let mut state = self.state();
        state.epoch += 1;
        state.entries.remove(id);
    }
}
