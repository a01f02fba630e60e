//! The cache as its callers see it: memory, then disk, then Redis.

use std::sync::Arc;
use std::time::Duration;

use platform::Clock;

use crate::Value;
use crate::disk::{DiskOptions, DiskTier};
use crate::flight::{Flights, Turn};
use crate::key::Key;
use crate::memory::MemoryTier;
use crate::remote::{RemoteOptions, RemoteTier};
use crate::statistics::{Counters, RemoteState, Statistics};

/// Values from this size on are tried with zstd before they leave the process; below it the frame outweighs the gain.
pub const COMPRESS_FROM_BYTES: usize = 1024;

/// Bounds and tiers.
#[derive(Clone)]
pub struct CacheOptions {
    /// Bytes that the memory tier may take, keys and bookkeeping included.
    pub memory_bytes: u64,
    /// The largest value that is kept at all.
    pub value_bytes_max: usize,
    /// The disk tier, when there is one.
    pub disk: Option<DiskOptions>,
    /// Redis, when there is one.
    pub remote: Option<RemoteOptions>,
    /// What time it is.
    pub clock: Clock,
}

/// Why a cache could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory cannot be made or read.
    #[error("open the cache directory {directory}: {source}")]
    Disk {
        /// The directory.
        directory: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of Redis is not one.
    #[error("read the address of Redis: {message}")]
    Remote {
        /// What is wrong with it, without the address: it may hold a password.
        message: String,
    },
}

/// The result cache. Share it in an `Arc`.
pub struct Cache {
    memory: MemoryTier,
    disk: Option<DiskTier>,
    remote: Option<RemoteTier>,
    counters: Arc<Counters>,
    flights: Arc<Flights>,
    value_bytes_max: usize,
    clock: Clock,
}

impl Cache {
    /// Opens the tiers. Redis is contacted with the first lookup.
    ///
    /// # Errors
    /// When the directory cannot be read, or the address of Redis is malformed.
    pub fn open(options: CacheOptions) -> Result<Self, CacheError> {
        let counters = Arc::new(Counters::default());
        let disk = options
            .disk
            .map(|disk| {
                let directory = disk.directory.display().to_string();
                DiskTier::open(disk, options.value_bytes_max)
                    .map_err(|source| CacheError::Disk { directory, source })
            })
            .transpose()?;
        let remote = options
            .remote
            .map(|remote| {
                RemoteTier::new(remote, options.value_bytes_max).map_err(|error| {
                    CacheError::Remote {
                        message: error.category().to_owned(),
                    }
                })
            })
            .transpose()?;
        Ok(Cache {
            memory: MemoryTier::new(options.memory_bytes, Arc::clone(&counters)),
            disk,
            remote,
            counters,
            flights: Arc::default(),
            value_bytes_max: options.value_bytes_max,
            clock: options.clock,
        })
    }

    /// Whether a lookup may block: true when there is a disk or Redis behind the memory.
    pub fn has_slow_tiers(&self) -> bool {
        self.disk.is_some() || self.remote.is_some()
    }

    /// The result if it is in memory; never blocks. A miss is not counted: ask [`Cache::get_slow`] next.
    pub fn get_fast(&self, key: &Key) -> Option<Value> {
        let value = self.memory.get(key, self.now_ms())?;
        self.counters
            .count(key.kind(), |kind| kind.memory_hits += 1);
        Some(value)
    }

    /// The result if it is on disk or in Redis, which brings it to the faster tiers. Blocks. Counts the miss.
    pub fn get_slow(&self, key: &Key) -> Option<Value> {
        let now_ms = self.now_ms();
        if let Some((value, expires_ms)) = self.disk.as_ref().and_then(|disk| disk.get(key, now_ms))
        {
            self.counters.count(key.kind(), |kind| kind.disk_hits += 1);
            self.memory.put(key, Arc::clone(&value), now_ms, expires_ms);
            return Some(value);
        }
        if let Some((value, expires_ms)) = self
            .remote
            .as_ref()
            .and_then(|remote| remote.get(key, now_ms))
        {
            self.counters
                .count(key.kind(), |kind| kind.remote_hits += 1);
            self.memory.put(key, Arc::clone(&value), now_ms, expires_ms);
            if let Some(disk) = &self.disk {
                disk.put(key, &value, expires_ms);
            }
            return Some(value);
        }
        self.counters.count(key.kind(), |kind| kind.misses += 1);
        None
    }

    /// The result from any tier. Blocks when there are slow tiers.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.get_fast(key).or_else(|| self.get_slow(key))
    }

    /// Stores a result in every tier for `ttl`. Blocks when there are slow tiers. Values above the bound, and a `ttl`
    /// of zero, are not stored.
    pub fn put(&self, key: &Key, value: Value, ttl: Duration) {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if value.len() > self.value_bytes_max || ttl_ms == 0 {
            return;
        }
        let now_ms = self.now_ms();
        let expires_ms = now_ms.saturating_add(ttl_ms);
        self.counters.count(key.kind(), |kind| {
            kind.stores += 1;
            kind.stored_bytes += value.len() as u64;
        });
        if let Some(disk) = &self.disk {
            disk.put(key, &value, expires_ms);
        }
        if let Some(remote) = &self.remote {
            remote.put(key, &value, now_ms, expires_ms, COMPRESS_FROM_BYTES);
        }
        self.memory.put(key, value, now_ms, expires_ms);
    }

    /// Whether to compute `key` or to wait for the call that already does.
    pub fn join(&self, key: &Key) -> Turn {
        let turn = self.flights.join(key);
        if matches!(turn, Turn::Wait(_)) {
            self.counters.count(key.kind(), |kind| kind.joined += 1);
        }
        turn
    }

    /// Drops one result from every tier.
    pub fn remove(&self, key: &Key) {
        self.memory.remove(key);
        if let Some(disk) = &self.disk {
            disk.remove(key);
        }
        if let Some(remote) = &self.remote {
            remote.remove(key);
        }
    }

    /// Drops every result of `tenant` (of all tenants when `None`) whose name begins with `prefix`. Gives the largest
    /// number of entries that any one tier dropped. Blocks.
    pub fn clear(&self, tenant: Option<&str>, prefix: &str) -> u64 {
        let memory = self.memory.clear(tenant, prefix);
        let disk = self
            .disk
            .as_ref()
            .map_or(0, |disk| disk.clear(tenant, prefix));
        let remote = self
            .remote
            .as_ref()
            .map_or(0, |remote| remote.clear(tenant, prefix));
        memory.max(disk).max(remote)
    }

    /// What the cache holds and did.
    pub fn statistics(&self) -> Statistics {
        let (memory_entries, memory_bytes) = self.memory.usage();
        let (disk_entries, disk_bytes, disk_damaged) =
            self.disk.as_ref().map_or((0, 0, 0), DiskTier::usage);
        Statistics {
            kinds: self.counters.snapshot(),
            memory_entries,
            memory_bytes,
            disk_entries,
            disk_bytes,
            disk_damaged,
            remote: self
                .remote
                .as_ref()
                .map_or(RemoteState::Off, RemoteTier::state),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }
}
