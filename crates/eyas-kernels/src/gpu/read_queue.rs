//! Reads from the GPU that survive being abandoned.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use burn::tensor::Bytes;
use eyas_core::{Error, ErrorKind, Result};

type Read = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

/// Keeps the reads whose callers went away before they were finished.
///
/// A read maps a staging buffer. Where the caller drops the read's future before the map is there, the buffer stays mapped, and the next
/// submission that uses it is invalid. So an abandoned read is kept here, and is finished before the next work is submitted.
#[derive(Clone, Default)]
pub(crate) struct ReadQueue(Arc<Mutex<Vec<Read>>>);

impl ReadQueue {
    fn abandoned(&self) -> MutexGuard<'_, Vec<Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes the reads that were abandoned; their outcomes concern nobody any more.
    pub(crate) async fn settle(&self) {
        loop {
            let Some(read) = self.abandoned().pop() else { return };
            let _ = self.watched(read).await;
        }
    }

    /// Waits for a read; where this is dropped before, the read will be finished all the same.
    pub(super) async fn finish(&self, read: impl Future<Output = Result<Bytes>> + Send + 'static) -> Result<Bytes> {
        self.watched(Box::pin(read)).await
    }

    fn watched(&self, read: Read) -> Watched {
        Watched { read: Some(read), queue: self.clone() }
    }
}

impl std::fmt::Debug for ReadQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadQueue").field(&self.abandoned().len()).finish()
    }
}

pub(super) fn lost(why: &str) -> Error {
    Error::new(ErrorKind::DeviceLost, format!("reading from the GPU failed: {why}; load the model again"))
}

/// A read that goes to the queue when it is dropped unfinished.
struct Watched {
    read: Option<Read>,
    queue: ReadQueue,
}

impl Future for Watched {
    type Output = Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let Some(read) = self.read.as_mut() else { return Poll::Pending };
        let outcome = read.as_mut().poll(context);
        if outcome.is_ready() {
            self.read = None;
        }
        outcome
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            self.queue.abandoned().push(read);
        }
    }
}
