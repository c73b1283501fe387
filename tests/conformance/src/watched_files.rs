//! Files that count reads and let each wait a turn, so that a test can stop a load at every one of its awaits.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use eyas_core::Result;
use eyas_weights::{FileSet, LocalFuture, ModelFiles, RangeReader};

/// A future that is pending once.
#[derive(Debug, Default)]
pub struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls a future once.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A model's files, each of whose reads is pending once.
pub struct WatchedFiles {
    inner: Rc<dyn FileSet>,
    reads: Rc<Cell<usize>>,
}

impl WatchedFiles {
    /// Watches a folder; the counter counts reads and opens.
    pub fn folder(inner: Rc<dyn FileSet>) -> (ModelFiles, Rc<Cell<usize>>) {
        let reads = Rc::new(Cell::new(0));
        (ModelFiles::Folder(Rc::new(Self { inner, reads: reads.clone() })), reads)
    }
}

impl FileSet for WatchedFiles {
    fn label(&self) -> &str {
        self.inner.label()
    }

    fn open<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<Option<Rc<dyn RangeReader>>>> {
        Box::pin(async move {
            self.reads.set(self.reads.get() + 1);
            Turn::default().await;
            let file = self.inner.open(name).await?;
            Ok(file.map(|inner| Rc::new(WatchedReader { inner, reads: self.reads.clone() }) as Rc<dyn RangeReader>))
        })
    }
}

struct WatchedReader {
    inner: Rc<dyn RangeReader>,
    reads: Rc<Cell<usize>>,
}

impl RangeReader for WatchedReader {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            self.reads.set(self.reads.get() + 1);
            Turn::default().await;
            self.inner.read(offset, length).await
        })
    }
}
