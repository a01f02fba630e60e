//! The Redis tier: shared by several servers, and never in the way.
//!
//! Every call has a timeout. After a failure Redis is left alone for a while, so a dead one costs one timeout in that
//! time and not one in each request. When all connections are in use the lookup is a miss instead of a wait.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection, RedisError, RedisResult};

use crate::Value;
use crate::frame;
use crate::key::{Key, matches};
use crate::statistics::RemoteState;

/// Keys in Redis begin with this, so that a shared server can be told apart and cleared.
const PREFIX: &str = "fornax:cache:";
/// Keys that one call of SCAN looks at.
const SCAN_COUNT: usize = 1000;
/// Calls of SCAN that one clearing makes at most: a hundred million keys.
const SCANS_MAX: usize = 100_000;

/// How to reach Redis.
#[derive(Clone)]
pub struct RemoteOptions {
    /// `redis://[user:password@]host:port/db` or `unix:///path`.
    pub url: platform::Secret,
    /// Connections at most.
    pub connections_max: usize,
    /// Longest time to connect, and longest time for one answer.
    pub timeout: Duration,
    /// How long it is left alone after a failure.
    pub retry_after: Duration,
}

/// Results in Redis.
pub(crate) struct RemoteTier {
    client: Client,
    options: RemoteOptions,
    value_bytes_max: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    in_use: usize,
    down_until: Option<Instant>,
}

impl RemoteTier {
    /// Checks the address; connects with the first call.
    pub(crate) fn new(options: RemoteOptions, value_bytes_max: usize) -> Result<Self, RedisError> {
        Ok(RemoteTier {
            client: Client::open(options.url.expose())?,
            options,
            value_bytes_max,
            pool: Mutex::default(),
        })
    }

    pub(crate) fn state(&self) -> RemoteState {
        if self.pool().down_until.is_some() {
            RemoteState::Down
        } else {
            RemoteState::Up
        }
    }

    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Option<(Value, u64)> {
        let name = format!("{PREFIX}{key}");
        let found: Option<Vec<u8>> = self.call(|connection| connection.get(&name))?;
        frame::decode(&found?, key.text(), self.value_bytes_max)
            .filter(|(_, expires_ms)| *expires_ms > now_ms)
    }

    pub(crate) fn put(
        &self,
        key: &Key,
        value: &[u8],
        now_ms: u64,
        expires_ms: u64,
        compress_from_bytes: usize,
    ) {
        let left_ms = expires_ms.saturating_sub(now_ms).max(1);
        let frame = frame::encode(key.text(), value, expires_ms, compress_from_bytes);
        self.call(|connection| {
            connection.pset_ex::<_, _, ()>(format!("{PREFIX}{key}"), frame, left_ms)
        });
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.call(|connection| connection.del::<_, ()>(format!("{PREFIX}{key}")));
    }

    /// Deletes matching entries by scanning; how many there were.
    pub(crate) fn clear(&self, tenant: Option<&str>, prefix: &str) -> u64 {
        let (mut cursor, mut cleared) = (0_u64, 0);
        for _ in 0..SCANS_MAX {
            let page: Option<(u64, Vec<String>)> = self.call(|connection| {
                redis::cmd("SCAN")
                    .arg(cursor)
                    .arg("MATCH")
                    .arg(format!("{PREFIX}*"))
                    .arg("COUNT")
                    .arg(SCAN_COUNT)
                    .query(connection)
            });
            let Some((next, names)) = page else { break };
            let doomed: Vec<String> = names
                .into_iter()
                .filter(|name| {
                    name.strip_prefix(PREFIX)
                        .is_some_and(|text| matches(text, tenant, prefix))
                })
                .collect();
            if !doomed.is_empty() {
                cleared += doomed.len() as u64;
                self.call(|connection| redis::cmd("UNLINK").arg(&doomed).query::<()>(connection));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        cleared
    }

    /// Makes one call on a pooled connection; `None` when Redis is down, busy or fails.
    fn call<T>(&self, act: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Option<T> {
        let pooled = {
            let mut pool = self.pool();
            if pool.down_until.is_some_and(|until| Instant::now() < until)
                || pool.in_use >= self.options.connections_max
            {
                return None;
            }
            pool.in_use += 1;
            pool.idle.pop()
        };
        let outcome = pooled
            .map_or_else(|| self.connect(), Ok)
            .and_then(|mut connection| {
                let answer = act(&mut connection)?;
                Ok((connection, answer))
            });
        let mut pool = self.pool();
        pool.in_use -= 1;
        match outcome {
            Ok((connection, answer)) => {
                if pool.down_until.take().is_some() {
                    tracing::info!("Redis answers again");
                }
                pool.idle.push(connection);
                Some(answer)
            }
            Err(error) => {
                if pool.down_until.is_none() {
                    tracing::warn!(%error, "Redis does not answer: results are cached without it");
                }
                pool.idle.clear();
                pool.down_until = Some(Instant::now() + self.options.retry_after);
                None
            }
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self
            .client
            .get_connection_with_timeout(self.options.timeout)?;
        connection.set_read_timeout(Some(self.options.timeout))?;
        connection.set_write_timeout(Some(self.options.timeout))?;
        Ok(connection)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
