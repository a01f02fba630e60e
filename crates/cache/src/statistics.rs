//! What the cache did, by kind of result.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Kinds that are counted apart; results of further kinds are counted together as `other`.
const KINDS_MAX: usize = 64;

/// Counters of one kind of result since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindStatistics {
    /// Answers found in memory.
    pub memory_hits: u64,
    /// Answers found on disk.
    pub disk_hits: u64,
    /// Answers found in Redis.
    pub remote_hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Results stored.
    pub stores: u64,
    /// Bytes of the results stored, before compression.
    pub stored_bytes: u64,
    /// Entries pushed out of memory by newer ones.
    pub evictions: u64,
    /// Entries whose time to live ended in memory.
    pub expirations: u64,
    /// Calls that waited for an equal call instead of computing.
    pub joined: u64,
}

impl KindStatistics {
    /// Answers found in any tier.
    pub fn hits(&self) -> u64 {
        self.memory_hits + self.disk_hits + self.remote_hits
    }

    /// Hits by lookups, 0 to 1; `None` before the first lookup.
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits() + self.misses;
        (lookups > 0).then(|| self.hits() as f64 / lookups as f64)
    }
}

/// Whether Redis takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteState {
    /// None is configured.
    Off,
    /// The last call succeeded, or none was made yet.
    Up,
    /// The last call failed; it is left alone for a while.
    Down,
}

/// The state of the whole cache.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Counters by kind.
    pub kinds: BTreeMap<String, KindStatistics>,
    /// Entries in memory.
    pub memory_entries: u64,
    /// Their bytes, keys included.
    pub memory_bytes: u64,
    /// Entries on disk.
    pub disk_entries: u64,
    /// Bytes of disk they take.
    pub disk_bytes: u64,
    /// Entries on disk that were found damaged and dropped.
    pub disk_damaged: u64,
    /// Redis.
    pub remote: RemoteState,
}

/// The counters, shared by the tiers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    kinds: Mutex<BTreeMap<String, KindStatistics>>,
}

impl Counters {
    pub(crate) fn count(&self, kind: &str, change: impl FnOnce(&mut KindStatistics)) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kinds.get_mut(kind) {
            return change(found);
        }
        let name = if kinds.len() < KINDS_MAX {
            kind
        } else {
            "other"
        };
        change(kinds.entry(name.to_owned()).or_default());
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, KindStatistics> {
        self.kinds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
