//! A server at the other end of a line: answers take their time, each connection and all of them together have a rate, and time passes only while
//! everything waits.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{Answer, Clock, Get, Network};
use eyas_weights::LocalFuture;

use super::{Random, Remote};

/// Microseconds, and when somebody waits for.
#[derive(Default)]
pub struct Turns {
    now_us: Cell<u64>,
    wakes_us: RefCell<BTreeSet<u64>>,
}

impl Turns {
    fn until(self: &Rc<Self>, at_us: u64) -> LocalFuture<'static, ()> {
        self.wakes_us.borrow_mut().insert(at_us);
        let time = self.clone();
        Box::pin(poll_fn(move |_| if time.now_us.get() >= at_us { Poll::Ready(()) } else { Poll::Pending }))
    }

    /// Runs `work` to its end.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                self.wakes_us.borrow_mut().clear();
                return done;
            }
            let next = self.wakes_us.borrow_mut().pop_first().expect("somebody waits for what never comes");
            self.now_us.set(self.now_us.get().max(next));
        }
    }
}

/// What waits for time.
pub struct TurnsClock(pub Rc<Turns>);

impl Clock for TurnsClock {
    fn now_ms(&self) -> f64 {
        self.0.now_us.get() as f64 / 1_000.0
    }

    fn unix_ms(&self) -> f64 {
        self.0.now_us.set(self.0.now_us.get() + 1_000);
        self.now_ms()
    }

    fn sleep(&self, ms: f64) -> LocalFuture<'static, ()> {
        self.0.until(self.0.now_us.get() + (ms * 1_000.0) as u64)
    }
}

/// How an answer ends before its time.
#[derive(Clone, Copy)]
pub enum Fault {
    Breaks,
    Stalls,
}

/// The status of answers that refuse, and their `Retry-After`, by the answer's number and the milliseconds that have passed.
type Refuses = Box<dyn Fn(usize, u64) -> Option<(u16, Option<u64>)>>;

/// One file on a server, and the way to it.
pub struct Line {
    pub time: Rc<Turns>,
    pub remote: RefCell<Remote>,
    pub latency_ms: u64,
    /// Bytes a second of a connection, and of all together.
    pub own_rate: u64,
    pub shared_rate: u64,
    /// One piece in so many breaks its connection; 0: none.
    pub breaks: u64,
    /// What becomes of single answers, by their numbers: how many bytes come before that.
    pub faults: RefCell<BTreeMap<usize, (usize, Fault)>>,
    pub refuses: RefCell<Refuses>,
    pub random: RefCell<Random>,
    /// How many were open with each answer.
    pub opened: RefCell<Vec<usize>>,
    pub if_ranges: RefCell<Vec<Option<String>>>,
    pub ranges: RefCell<Vec<Option<String>>>,
    pub served_bytes: Rc<Cell<u64>>,
    pub open: Rc<Cell<usize>>,
    pub most_open: Cell<usize>,
    shared_free_us: Rc<Cell<u64>>,
}

impl Line {
    pub fn new(seed: u64, remote: Remote) -> Self {
        Self {
            time: Rc::default(),
            remote: RefCell::new(remote),
            latency_ms: 20,
            own_rate: 512,
            shared_rate: 1 << 40,
            breaks: 0,
            faults: RefCell::default(),
            refuses: RefCell::new(Box::new(|_, _| None)),
            opened: RefCell::default(),
            if_ranges: RefCell::default(),
            random: RefCell::new(Random(seed)),
            ranges: RefCell::default(),
            served_bytes: Rc::default(),
            open: Rc::default(),
            most_open: Cell::default(),
            shared_free_us: Rc::default(),
        }
    }

    fn answer(&self, get: &Get) -> Wire {
        let remote = self.remote.borrow();
        let size = remote.bytes.len() as u64;
        let mut headers = Vec::new();
        headers.extend(remote.etag.clone().map(|tag| ("etag", tag)));
        let is_same = get.if_range.is_none() || get.if_range == remote.etag;
        let number = self.ranges.borrow().len();
        let refusal = (self.refuses.borrow())(number, self.time.now_us.get() / 1_000);
        let (status, body) = if let Some((status, wait)) = refusal {
            headers = wait.map(|seconds| ("retry-after", seconds.to_string())).into_iter().collect();
            (status, &[][..])
        } else if get.range().is_some() && remote.has_ranges && is_same {
            let end = get.until.unwrap_or(size).min(size);
            headers.push(("content-range", format!("bytes {}-{}/{size}", get.from, end.max(1) - 1)));
            if get.from >= end { (416, &[][..]) } else { (206, &remote.bytes[get.from as usize..end as usize]) }
        } else {
            (200, &remote.bytes[..])
        };
        headers.push(("content-length", body.len().to_string()));
        let body = if get.head_only { Vec::new() } else { body.to_vec() };
        self.ranges.borrow_mut().push(get.range());
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
        self.opened.borrow_mut().push(self.open.get());
        self.if_ranges.borrow_mut().push(get.if_range.clone());
        Wire {
            time: self.time.clone(),
            status,
            headers,
            body,
            at: 0,
            rates: (self.own_rate, self.shared_rate),
            breaks: self.breaks,
            fault: self.faults.borrow().get(&number).copied(),
            random: Random(self.random.borrow_mut().next()),
            served_bytes: self.served_bytes.clone(),
            open: self.open.clone(),
            own_free_us: self.time.now_us.get(),
            shared_free_us: self.shared_free_us.clone(),
        }
    }
}

impl Network for Line {
    fn get<'a>(&'a self, get: &'a Get) -> LocalFuture<'a, Result<Box<dyn Answer>>> {
        Box::pin(async move {
            self.time.until(self.time.now_us.get() + self.latency_ms * 1_000).await;
            Ok(Box::new(self.answer(get)) as Box<dyn Answer>)
        })
    }
}

struct Wire {
    time: Rc<Turns>,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    at: usize,
    rates: (u64, u64),
    breaks: u64,
    fault: Option<(usize, Fault)>,
    random: Random,
    served_bytes: Rc<Cell<u64>>,
    open: Rc<Cell<usize>>,
    own_free_us: u64,
    shared_free_us: Rc<Cell<u64>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

impl Answer for Wire {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.clone())
    }

    fn piece(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            if self.at == self.body.len() {
                return Ok(None);
            }
            match self.fault {
                Some((at, Fault::Breaks)) if self.at >= at => {
                    return Err(Error::new(ErrorKind::DownloadFailed, "the connection broke"));
                }
                Some((at, Fault::Stalls)) if self.at >= at => std::future::pending::<()>().await,
                _ => {}
            }
            let length = (1 + self.random.below(32) as usize).min(self.body.len() - self.at);
            let (own, shared) = self.rates;
            self.own_free_us = self.own_free_us.max(self.time.now_us.get()) + length as u64 * 1_000_000 / own;
            self.shared_free_us.set(self.shared_free_us.get().max(self.time.now_us.get()) + length as u64 * 1_000_000 / shared);
            self.time.until(self.own_free_us.max(self.shared_free_us.get())).await;
            if self.breaks > 0 && self.random.chance(self.breaks) {
                return Err(Error::new(ErrorKind::DownloadFailed, "the connection broke"));
            }
            let piece = self.body[self.at..self.at + length].to_vec();
            self.at += length;
            self.served_bytes.set(self.served_bytes.get() + length as u64);
            Ok(Some(piece))
        })
    }
}
