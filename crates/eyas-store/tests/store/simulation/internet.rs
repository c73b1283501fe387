//! Servers that break, stall, change their files and know more or less of HTTP.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{Answer, Digest, Get, Network};
use eyas_weights::LocalFuture;

use super::{Random, Time};

/// A file on a server.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing that a server knows or does not")]
pub struct Remote {
    pub bytes: Vec<u8>,
    /// Validators that the server tells.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub has_ranges: bool,
    pub tells_length: bool,
    /// Whether `Content-Range` can be seen.
    pub shows_range: bool,
    pub honours_if_range: bool,
}

impl Remote {
    /// A file on a server that knows all that servers should.
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self {
            etag: Some(format!("\"{}\"", &Digest::of(&bytes).to_string()[..8])),
            bytes,
            last_modified: None,
            has_ranges: true,
            tells_length: true,
            shows_range: true,
            honours_if_range: true,
        }
    }
}

pub struct Internet {
    pub remotes: RefCell<BTreeMap<String, Remote>>,
    random: RefCell<Random>,
    /// One request in so many has a fault; 0: none.
    pub faults: Cell<u64>,
    pub is_down: Cell<bool>,
    pub requests: Cell<u64>,
    pub served_bytes: Rc<Cell<u64>>,
    /// What a piece of a body takes.
    pub piece_ms: Cell<f64>,
    time: Rc<Time>,
}

impl Internet {
    pub fn new(seed: u64, time: Rc<Time>) -> Self {
        Self {
            remotes: RefCell::default(),
            random: RefCell::new(Random(seed)),
            faults: Cell::new(0),
            is_down: Cell::new(false),
            requests: Cell::new(0),
            served_bytes: Rc::default(),
            piece_ms: Cell::default(),
            time,
        }
    }

    pub fn put(&self, url: &str, remote: Remote) {
        self.remotes.borrow_mut().insert(url.into(), remote);
    }

    fn failed(what: &str) -> Error {
        Error::new(ErrorKind::DownloadFailed, what)
    }

    fn answer(&self, get: &Get) -> Result<Reply> {
        self.requests.set(self.requests.get() + 1);
        if self.is_down.get() {
            return Err(Self::failed("the network is down"));
        }
        let mut random = self.random.borrow_mut();
        let has_fault = self.faults.get() > 0 && random.chance(self.faults.get());
        let fault = if has_fault { random.below(5) } else { 9 };
        let seed = random.next();
        let reply = |status, headers, body, end| {
            let (random, served_bytes, time) = (Random(seed), self.served_bytes.clone(), self.time.clone());
            Reply { random, served_bytes, time, piece_ms: self.piece_ms.get(), status, headers, body, at: 0, end }
        };
        match fault {
            0 => return Err(Self::failed("the connection was refused")),
            1 => return Ok(reply(503, Vec::new(), Vec::new(), End::Ends)),
            _ => {}
        }
        let remotes = self.remotes.borrow();
        let Some(remote) = remotes.get(&get.url) else { return Ok(reply(404, Vec::new(), Vec::new(), End::Ends)) };
        let size = remote.bytes.len() as u64;
        let mut headers = Vec::new();
        headers.extend(remote.etag.clone().map(|tag| ("etag", tag)));
        headers.extend(remote.last_modified.clone().map(|date| ("last-modified", date)));
        let known = [&remote.etag, &remote.last_modified];
        let is_same = get.if_range.is_none() || !remote.honours_if_range || known.contains(&&get.if_range);
        let (status, body) = if get.range().is_some() && remote.has_ranges && is_same {
            let end = get.until.unwrap_or(size).min(size);
            if get.from >= size {
                headers.push(("content-range", format!("bytes */{size}")));
                (416, &[][..])
            } else {
                if remote.shows_range {
                    headers.push(("content-range", format!("bytes {}-{}/{size}", get.from, end - 1)));
                }
                (206, &remote.bytes[get.from as usize..end as usize])
            }
        } else {
            (200, &remote.bytes[..])
        };
        if remote.tells_length {
            headers.push(("content-length", body.len().to_string()));
        }
        let end = match fault {
            _ if get.head_only => End::EndsEarly(0),
            2 => End::Breaks(random.below(body.len() as u64 + 1)),
            3 => End::Stalls(random.below(body.len() as u64 + 1)),
            4 if remote.tells_length => End::EndsEarly(random.below(body.len() as u64 + 1)),
            _ => End::Ends,
        };
        Ok(reply(status, headers, body.to_vec(), end))
    }
}

enum End {
    Ends,
    EndsEarly(u64),
    Breaks(u64),
    Stalls(u64),
}

struct Reply {
    random: Random,
    served_bytes: Rc<Cell<u64>>,
    time: Rc<Time>,
    piece_ms: f64,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    at: u64,
    end: End,
}

impl Reply {
    fn next(&mut self) -> Option<Result<Option<Vec<u8>>>> {
        let limit = match self.end {
            End::Ends => self.body.len() as u64,
            End::EndsEarly(at) | End::Breaks(at) | End::Stalls(at) => at,
        };
        if self.at >= limit {
            return match self.end {
                End::Ends | End::EndsEarly(_) => Some(Ok(None)),
                End::Breaks(_) => Some(Err(Internet::failed("the connection broke"))),
                End::Stalls(_) => None,
            };
        }
        let length = (1 + self.random.below(32)).min(limit - self.at);
        let piece = self.body[self.at as usize..(self.at + length) as usize].to_vec();
        self.at += length;
        self.served_bytes.set(self.served_bytes.get() + length);
        self.time.pass(self.piece_ms);
        Some(Ok(Some(piece)))
    }
}

impl Answer for Reply {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.clone())
    }

    fn piece(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>>> {
        match self.next() {
            Some(piece) => Box::pin(std::future::ready(piece)),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl Network for Internet {
    fn get<'a>(&'a self, get: &'a Get) -> LocalFuture<'a, Result<Box<dyn Answer>>> {
        Box::pin(std::future::ready(self.answer(get).map(|reply| Box::new(reply) as Box<dyn Answer>)))
    }
}
