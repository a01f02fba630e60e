//! Rows with an end: their live bits are cleared when a reader first comes by after their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::rows::AtomicRowSet;

/// The ends of a segment's rows. Costs one relaxed load per read while nothing ends.
#[derive(Debug)]
pub(crate) struct Expiry {
    /// The earliest end still waiting; `u64::MAX` when there is none.
    next_unix_ms: AtomicU64,
    waiting: Mutex<BinaryHeap<Reverse<(u64, u32)>>>,
}

impl Default for Expiry {
    fn default() -> Self {
        Expiry {
            next_unix_ms: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
        }
    }
}

impl Expiry {
    /// Remembers that `row` ends at `unix_ms`.
    pub(crate) fn insert(&self, row: u32, unix_ms: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Reverse((unix_ms, row)));
        self.next_unix_ms.fetch_min(unix_ms, Ordering::Relaxed);
    }

    /// Clears the live bits of all rows whose end is at or before `now_unix_ms`.
    #[inline]
    pub(crate) fn sweep(&self, now_unix_ms: u64, live: &AtomicRowSet) {
        if self.next_unix_ms.load(Ordering::Relaxed) <= now_unix_ms {
            self.sweep_due(now_unix_ms, live);
        }
    }

    #[cold]
    fn sweep_due(&self, now_unix_ms: u64, live: &AtomicRowSet) {
        // The lock is held over the whole sweep: a second reader waits until the rows it must not see are gone.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&Reverse((end, row))) = waiting.peek() {
            if end > now_unix_ms {
                break;
            }
            live.remove(row);
            waiting.pop();
        }
        let next = waiting.peek().map_or(u64::MAX, |&Reverse((end, _))| end);
        self.next_unix_ms.store(next, Ordering::Relaxed);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        (waiting.len() * size_of::<(u64, u32)>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowSet;

    #[test]
    fn rows_end_at_their_time_in_any_order_of_insertion() {
        let live = AtomicRowSet::from_set(&RowSet::all(4));
        let expiry = Expiry::default();
        for (row, end) in [(2, 300), (0, 100), (3, 200)] {
            expiry.insert(row, end);
        }
        expiry.sweep(99, &live);
        assert_eq!(live.removed(), 0);
        expiry.sweep(200, &live);
        assert_eq!(live.snapshot().iter().collect::<Vec<_>>(), [1, 2]);
        expiry.sweep(u64::MAX - 1, &live);
        assert_eq!(live.snapshot().iter().collect::<Vec<_>>(), [1]);
        assert_eq!(expiry.bytes(), 0);
    }
}
