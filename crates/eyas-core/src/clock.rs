//! Time, as the shell gives it.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// A future of a single-threaded environment.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Tells and waits for time.
pub trait Clock {
    /// Monotonic milliseconds from any start.
    fn now_ms(&self) -> f64;
    /// Milliseconds of the Unix epoch.
    fn unix_ms(&self) -> f64;
    /// Done after `ms`, or earlier where the request was aborted in the meantime.
    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()>;
}

/// Waits for `work`, at most `ms`; none where the time was over first. What was not done is dropped.
pub async fn within<T>(clock: &dyn Clock, ms: f64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut late = None;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        // No timer is made for what is there already.
        late.get_or_insert_with(|| clock.sleep(ms)).as_mut().poll(context).map(|()| None)
    })
    .await
}
