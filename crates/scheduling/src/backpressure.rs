//! How full a queue is, and when a refused caller should come back.

use std::time::{Duration, Instant};

/// How full a bounded queue is. Ordered: later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackpressureLevel {
    /// Under half: admit everything.
    Normal,
    /// Half or more: background producers should slow down.
    Elevated,
    /// Seven eighths or more: only interactive work should be added.
    High,
    /// No room: refuse.
    Full,
}

impl BackpressureLevel {
    /// The level of a queue holding `depth` of at most `limit` entries.
    pub fn of(depth: usize, limit: usize) -> Self {
        if depth >= limit {
            BackpressureLevel::Full
        } else if depth >= limit - limit / 8 {
            BackpressureLevel::High
        } else if depth >= limit.div_ceil(2) {
            BackpressureLevel::Elevated
        } else {
            BackpressureLevel::Normal
        }
    }

    /// Stable lowercase name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            BackpressureLevel::Normal => "normal",
            BackpressureLevel::Elevated => "elevated",
            BackpressureLevel::High => "high",
            BackpressureLevel::Full => "full",
        }
    }
}

/// How fast a queue drains, as a moving average of the time between departures, from which a refused caller is told when
/// to come back.
#[derive(Debug, Clone, Default)]
pub struct DrainRate {
    last: Option<Instant>,
    average_seconds: Option<f64>,
}

/// Weight of the newest interval: about the last ten departures count.
const NEWEST_WEIGHT: f64 = 0.2;
/// An interval longer than this says that the queue was idle, not that it is slow.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Shortest and longest advice: below a second clients only hammer, above a minute they give up.
const ADVICE: std::ops::RangeInclusive<f64> = 1.0..=60.0;

impl DrainRate {
    /// Nothing measured yet.
    pub fn new() -> Self {
        DrainRate::default()
    }

    /// One entry left the queue, which others were waiting behind.
    pub fn departed(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let interval = now.saturating_duration_since(last);
            if interval <= INTERVAL_MAX {
                let seconds = interval.as_secs_f64();
                self.average_seconds = Some(match self.average_seconds {
                    Some(average) => average + NEWEST_WEIGHT * (seconds - average),
                    None => seconds,
                });
            }
        }
    }

    /// When a caller refused at `depth` should try again: when half of the queue will have drained, between one and
    /// sixty seconds. Without a measurement, one second.
    pub fn retry_after(&self, depth: usize) -> Duration {
        let seconds = self.average_seconds.unwrap_or(0.0) * depth as f64 / 2.0;
        Duration::from_secs_f64(seconds.clamp(*ADVICE.start(), *ADVICE.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_fill() {
        use BackpressureLevel::*;
        let levels: Vec<_> = [0, 7, 8, 13, 14, 15, 16, 99]
            .map(|depth| BackpressureLevel::of(depth, 16))
            .to_vec();
        assert_eq!(
            levels,
            [Normal, Normal, Elevated, Elevated, High, High, Full, Full]
        );
        assert_eq!(BackpressureLevel::of(0, 0), Full);
        assert_eq!(BackpressureLevel::of(0, 1), Normal);
    }

    #[test]
    fn advice_follows_the_measured_rate_within_bounds() {
        let mut rate = DrainRate::new();
        let mut now = Instant::now();
        assert_eq!(rate.retry_after(1000), Duration::from_secs(1));
        for _ in 0..100 {
            now += Duration::from_millis(500);
            rate.departed(now);
        }
        assert_eq!(rate.retry_after(40), Duration::from_secs(10));
        assert_eq!(rate.retry_after(100_000), Duration::from_secs(60));
        now += Duration::from_secs(3600);
        rate.departed(now);
        assert_eq!(rate.retry_after(40), Duration::from_secs(10), "idle hour");
    }
}
