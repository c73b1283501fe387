//! How a load gets its bytes.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use serde::Serialize;

use crate::Clock;

/// The rate is that of so much time.
const WINDOW_MS: f64 = 4_000.0;
/// Less time tells no rate.
const LEAST_MS: f64 = 200.0;

/// Where bytes come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByteSource {
    /// A server, or the files that were given.
    #[default]
    Network,
    /// This device's store.
    Store,
}

/// Counts the bytes of a load.
pub struct Meter {
    clock: Rc<dyn Clock>,
    fetched_bytes: Cell<u64>,
    stored_bytes: Cell<u64>,
    ahead_bytes: Cell<u64>,
    /// What the rate is of. It only grows: what a loader tells of itself jumps, and begins anew with each phase.
    come_bytes: Cell<u64>,
    source: Cell<ByteSource>,
    samples: RefCell<VecDeque<(f64, u64)>>,
}

impl Meter {
    /// A meter that has counted nothing.
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Self {
            clock,
            fetched_bytes: Cell::default(),
            stored_bytes: Cell::default(),
            ahead_bytes: Cell::default(),
            come_bytes: Cell::default(),
            source: Cell::default(),
            samples: RefCell::default(),
        }
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.fetched_bytes.set(self.fetched_bytes.get() + bytes as u64);
        self.come_bytes.set(self.come_bytes.get() + bytes as u64);
        self.source.set(ByteSource::Network);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.found(bytes as u64);
        self.come_bytes.set(self.come_bytes.get() + bytes as u64);
    }

    /// So many bytes of a file were there when it was opened, which takes no part of its rate.
    pub(crate) fn found(&self, bytes: u64) {
        self.stored_bytes.set(self.stored_bytes.get() + bytes);
        self.source.set(ByteSource::Store);
    }

    /// So many bytes lie ahead of the reader.
    pub(crate) fn set_ahead(&self, bytes: u64) {
        self.ahead_bytes.set(bytes);
    }

    /// Bytes that were fetched ahead of the reader, who has not come to them yet.
    pub fn ahead_bytes(&self) -> u64 {
        self.ahead_bytes.get()
    }

    /// Bytes that came over the network.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.get()
    }

    /// Bytes that came from the store.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.get()
    }

    /// Where the last bytes came from.
    pub fn source(&self) -> ByteSource {
        self.source.get()
    }

    /// Bytes a second that came over the last seconds, from the network or the store; none in the beginning.
    pub fn bytes_per_second(&self) -> Option<f64> {
        let (now, come) = (self.clock.now_ms(), self.come_bytes.get());
        let mut samples = self.samples.borrow_mut();
        samples.push_back((now, come));
        while samples.len() > 2 && samples.front().is_some_and(|(then, _)| now - then > WINDOW_MS) {
            samples.pop_front();
        }
        let (then, before) = samples.front().copied()?;
        (now - then >= LEAST_MS).then(|| (come - before) as f64 * 1000.0 / (now - then))
    }
}
