//! The operating system's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use eyas_engine::Clock;

/// The engine's clock: monotonic for durations, the wall clock for dates.
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that counts from now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }

    fn local_seconds(&self) -> Option<i64> {
        Some(local_seconds())
    }
}

/// Seconds since 1970-01-01 00:00 UTC; `std` knows no time zone, so the shell's local time is UTC.
pub fn local_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
