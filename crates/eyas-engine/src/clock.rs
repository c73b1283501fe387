//! Time, as the shells know it.

/// The time. The engine has no clock of its own: `std`'s does not work in WebAssembly.
pub trait Clock {
    /// Milliseconds since some fixed moment; never runs backwards.
    fn now_ms(&self) -> f64;

    /// Seconds since 1970-01-01 00:00 on the person's own wall clock, for chat templates that tell the date; `None` where unknown.
    fn local_seconds(&self) -> Option<i64> {
        None
    }
}

impl<F: Fn() -> f64> Clock for F {
    fn now_ms(&self) -> f64 {
        self()
    }
}
