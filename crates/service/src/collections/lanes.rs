//! Where blocking work runs: on tokio's blocking threads, a bounded number at once for each kind of work, so that slow
//! kinds never stand before quick ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};
use crate::failures;

/// What a piece of work mostly does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// It computes: searches, reads, counts.
    Read,
    /// It waits for the disk: writes are synced together, so many may wait at once.
    Write,
    /// It may take minutes: building indexes, snapshots, deleting files.
    Slow,
}

/// Writes that wait for the disk at once. One sync serves all of them.
const WRITES_MAX: usize = 64;
/// Slow work at once: each keeps a disk or a processor busy.
const SLOW_MAX: usize = 4;
/// Who may wait in one lane. More are told to come back, long before their answers would be worth the wait.
const WAITING_MAX: usize = 4_096;

struct One {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl One {
    fn new(permits: usize) -> Self {
        One {
            permits: Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// The three lanes.
pub(crate) struct Lanes {
    reads: One,
    writes: One,
    slow: One,
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    pub(crate) fn new(reads: usize) -> Self {
        Lanes {
            reads: One::new(reads),
            writes: One::new(WRITES_MAX),
            slow: One::new(SLOW_MAX),
        }
    }

    /// Runs `work` where it may block. Once it runs it runs to its end, whether or not its caller still waits: half a write
    /// helps nobody.
    ///
    /// # Errors
    /// `Overloaded` when too many wait; `Internal` when the work panicked; otherwise what the work says.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let lane = match lane {
            Lane::Read => &self.reads,
            Lane::Write => &self.writes,
            Lane::Slow => &self.slow,
        };
        let permit = match Arc::clone(&lane.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waiting = Waiting(&lane.waiting);
                if lane.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
                    return Err(Error::new(
                        ErrorKind::Overloaded,
                        "Too many requests to collections wait already.",
                    )
                    .retry_after(Duration::from_secs(1)));
                }
                let permit = Arc::clone(&lane.permits).acquire_owned().await;
                drop(waiting);
                permit.map_err(failures::internal)?
            }
        };
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let outcome = span.in_scope(work);
            drop(permit);
            outcome
        })
        .await
        .map_err(failures::internal)?
    }
}
