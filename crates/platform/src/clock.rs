//! Time through a seam: the system's clock in the product, one that only moves when told in tests.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the seam that the ban points to"
)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time, cheap to clone and to share between threads. All clones of one manual clock move together.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    unix_start: Duration,
    passed: Mutex<Duration>,
}

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Self {
        Clock::default()
    }

    /// A clock that stands still until [`Clock::advance`], starting at `unix` since 1970.
    pub fn manual(unix: Duration) -> Self {
        Clock {
            source: Source::Manual(Arc::new(Manual {
                start: Instant::now(),
                unix_start: unix,
                passed: Mutex::new(Duration::ZERO),
            })),
        }
    }

    /// Monotonic time: never goes back, has no meaning outside this process.
    pub fn now(&self) -> Instant {
        match &self.source {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.start + manual.passed(),
        }
    }

    /// Time since 1970-01-01 UTC. May jump when an administrator sets the clock; before 1970 it reads as zero.
    pub fn unix(&self) -> Duration {
        match &self.source {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO),
            Source::Manual(manual) => manual.unix_start + manual.passed(),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system's clock: only a test may move time, and only its own.
    pub fn advance(&self, by: Duration) {
        match &self.source {
            Source::System => panic!("the system clock cannot be advanced"),
            Source::Manual(manual) => {
                *manual.passed.lock().unwrap_or_else(PoisonError::into_inner) += by;
            }
        }
    }
}

impl Manual {
    fn passed(&self) -> Duration {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970-01-01 UTC.
pub trait WallClock: Send + Sync {
    /// Now. Negative before 1970; may jump when the machine's clock is set.
    fn unix_seconds(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn unix_seconds(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that stands still until it is moved; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock standing at `unix_seconds`.
    pub fn at(unix_seconds: i64) -> Self {
        ManualClock(Arc::new(AtomicI64::new(unix_seconds)))
    }

    /// Moves it by `seconds`, backwards when negative.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl WallClock for ManualClock {
    fn unix_seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl WallClock for Clock {
    fn unix_seconds(&self) -> i64 {
        i64::try_from(self.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clones_move_together_and_only_when_told() {
        let clock = Clock::manual(Duration::from_secs(1_000));
        let other = clock.clone();
        let start = other.now();
        assert_eq!(other.now(), start);
        clock.advance(Duration::from_millis(2_500));
        assert_eq!(other.now() - start, Duration::from_millis(2_500));
        assert_eq!(other.unix_seconds(), 1_002);
    }

    #[test]
    fn system_clock_is_monotonic_and_after_2020() {
        let clock = Clock::system();
        let before = clock.now();
        assert!(clock.now() >= before);
        assert!(clock.unix_seconds() > 1_577_836_800);
    }
}
