//! The memory tier: a bounded map with a time to live for each entry, evicting what is used least and longest ago
//! (the TinyLFU policy of `moka`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache as Map;

use crate::Value;
use crate::key::{Key, kind_of, matches};
use crate::statistics::Counters;

/// What an entry costs beside its key and value: the map's own bookkeeping, by the measured growth of a full map.
const ENTRY_OVERHEAD_BYTES: usize = 200;

#[derive(Clone)]
struct Entry {
    value: Value,
    expires_ms: u64,
    ttl: Duration,
}

struct TimeToLive;

impl Expiry<Arc<str>, Entry> for TimeToLive {
    fn expire_after_create(
        &self,
        _key: &Arc<str>,
        entry: &Entry,
        _now: Instant,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _key: &Arc<str>,
        entry: &Entry,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

/// Results in this process's memory.
pub(crate) struct MemoryTier {
    map: Map<Arc<str>, Entry>,
}

impl MemoryTier {
    /// A tier of at most `bytes_max`.
    pub(crate) fn new(bytes_max: u64, counters: Arc<Counters>) -> Self {
        let map = Map::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Arc<str>, entry: &Entry| {
                u32::try_from(key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES)
                    .unwrap_or(u32::MAX)
            })
            .expire_after(TimeToLive)
            .eviction_listener(move |key: Arc<Arc<str>>, _entry, cause| {
                counters.count(kind_of(&key), |kind| match cause {
                    RemovalCause::Size => kind.evictions += 1,
                    RemovalCause::Expired => kind.expirations += 1,
                    RemovalCause::Explicit | RemovalCause::Replaced => {}
                });
            })
            .build();
        MemoryTier { map }
    }

    /// The value, unless its time is over by the caller's clock too.
    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Option<Value> {
        let entry = self.map.get(key.text())?;
        (entry.expires_ms > now_ms).then_some(entry.value)
    }

    pub(crate) fn put(&self, key: &Key, value: Value, now_ms: u64, expires_ms: u64) {
        let ttl = Duration::from_millis(expires_ms.saturating_sub(now_ms));
        let entry = Entry {
            value,
            expires_ms,
            ttl,
        };
        self.map.insert(key.text().into(), entry);
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.map.invalidate(key.text());
    }

    /// Drops matching entries; how many there were.
    pub(crate) fn clear(&self, tenant: Option<&str>, prefix: &str) -> u64 {
        let doomed: Vec<Arc<str>> = self
            .map
            .iter()
            .filter(|(key, _)| matches(key, tenant, prefix))
            .map(|(key, _)| Arc::clone(&*key))
            .collect();
        for key in &doomed {
            self.map.invalidate(key);
        }
        doomed.len() as u64
    }

    /// Entries and their bytes, after pending evictions are done.
    pub(crate) fn usage(&self) -> (u64, u64) {
        self.map.run_pending_tasks();
        (self.map.entry_count(), self.map.weighted_size())
    }
}
