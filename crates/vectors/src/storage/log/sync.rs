//! One sync for everybody who waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::VectorsError;

/// Who syncs, and how far it is known to have come. There is no thread of its own: the first who waits does the work for
/// all who came before it began; those who come meanwhile wait, and one of them does the next.
#[derive(Debug)]
pub(super) struct GroupSync {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    durable: u64,
    /// Whether somebody is syncing now.
    busy: bool,
    /// Why nothing will be durable any more.
    failed: Option<String>,
}

impl GroupSync {
    /// Everything up to `durable` is.
    pub fn new(durable: u64) -> Self {
        GroupSync {
            state: Mutex::new(State {
                durable,
                busy: false,
                failed: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// The last sequence known to be durable.
    pub fn durable(&self) -> u64 {
        self.lock().durable
    }

    /// Returns when `sequence` is durable, calling `sync`, which says how far it has come, when nobody else does. One
    /// call that does not reach `sequence` is enough: there was nothing more to sync.
    pub fn wait(
        &self,
        sequence: u64,
        sync: impl FnOnce() -> Result<u64, VectorsError>,
    ) -> Result<(), VectorsError> {
        let mut state = self.lock();
        loop {
            if let Some(message) = &state.failed {
                return Err(VectorsError::ReadOnly {
                    message: message.clone(),
                });
            }
            if state.durable >= sequence {
                return Ok(());
            }
            if !state.busy {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.busy = true;
        drop(state);
        let mut leader = Leader {
            group: self,
            outcome: Err("a sync did not come back".into()),
        };
        let outcome = sync();
        leader.outcome = match &outcome {
            Ok(reached) => Ok(*reached),
            Err(error) => Err(error.to_string()),
        };
        drop(leader);
        outcome.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others how the sync went, also when it panicked: nobody waits for ever.
struct Leader<'a> {
    group: &'a GroupSync,
    outcome: Result<u64, String>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        state.busy = false;
        match &self.outcome {
            Ok(reached) => state.durable = state.durable.max(*reached),
            Err(message) => state.failed = Some(message.clone()),
        }
        drop(state);
        self.group.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn one_sync_serves_all_who_wait() {
        let group = GroupSync::new(0);
        let (appended, syncs) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sequence = appended.fetch_add(1, Ordering::SeqCst) + 1;
                        group
                            .wait(sequence, || {
                                let reached = appended.load(Ordering::SeqCst);
                                syncs.fetch_add(1, Ordering::SeqCst);
                                std::thread::yield_now();
                                Ok(reached)
                            })
                            .expect("sync");
                        assert!(group.durable() >= sequence, "acknowledged too early");
                    }
                });
            }
        });
        assert_eq!(group.durable(), 1600);
        assert!(syncs.load(Ordering::SeqCst) <= 1600);
    }

    #[test]
    fn a_failed_sync_fails_everybody_after_it() {
        let group = GroupSync::new(3);
        group
            .wait(3, || panic!("durable already"))
            .expect("durable");
        group
            .wait(4, || {
                Err(VectorsError::io(
                    "sync",
                    "log",
                    std::io::Error::other("gone"),
                ))
            })
            .expect_err("failed");
        let error = group.wait(3, || Ok(9)).expect_err("refused");
        assert!(matches!(error, VectorsError::ReadOnly { .. }), "{error}");
    }
}
