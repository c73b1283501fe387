//! The browser's clocks and timers, for the tiers and for the store.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use eyas_core::{Clock, LocalFuture};
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::clock::PerformanceClock;

#[wasm_bindgen]
extern "C" {
    /// A pause that can be given up.
    pub type Timer;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Timer) -> Promise;
    #[wasm_bindgen(method)]
    fn cancel(this: &Timer);
}

/// Tells the browser's time, and waits by the timers of a host in the worker.
pub(crate) struct HostClock<F> {
    start_timer: F,
    monotonic: PerformanceClock,
}

impl<F: Fn(f64) -> Timer> HostClock<F> {
    /// `start_timer` starts one of so many milliseconds.
    pub(crate) fn new(start_timer: F) -> Self {
        Self { start_timer, monotonic: PerformanceClock::new() }
    }
}

impl<F: Fn(f64) -> Timer> Clock for HostClock<F> {
    fn now_ms(&self) -> f64 {
        eyas_engine::Clock::now_ms(&self.monotonic)
    }

    fn unix_ms(&self) -> f64 {
        js_sys::Date::now()
    }

    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()> {
        Box::pin(Sleep::new((self.start_timer)(ms)))
    }
}

/// Gives its timer up when it is dropped, so that a stream of a thousand chunks leaves no thousand timers.
struct Sleep {
    done: JsFuture,
    timer: Timer,
}

impl Sleep {
    fn new(timer: Timer) -> Self {
        Self { done: JsFuture::from(timer.done()), timer }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.done).poll(context).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timer.cancel();
    }
}
