//! A file's bytes from the network, in order, over as many requests as it takes.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, Result, within};

use crate::{
    Answer, Clock, Get, Network, Validator,
    content_range::{ContentRange, number},
};

/// How long a connection may be silent before it is given up.
pub(crate) const STALL_MS: f64 = 15_000.0;
/// A server that says when to come again is heard up to here.
const LONGEST_PAUSE_MS: f64 = 60_000.0;
/// The pauses before a broken connection is made anew. Any new byte starts them over.
const PAUSES_MS: [f64; 3] = [250.0, 750.0, 2_250.0];

/// What is known of a file from an earlier visit.
pub(crate) struct Known<'a> {
    pub(crate) size: u64,
    pub(crate) validator: &'a Validator,
}

/// What opening a file found.
pub(crate) enum Start {
    /// The server has no such file.
    Missing,
    /// The file; the connection stands where it was asked to.
    Same(Connection, Box<dyn Answer>),
    /// A file that differs from what was known; the connection stands at its beginning.
    Changed(Connection, Box<dyn Answer>),
}

/// Reads one file.
pub(crate) struct Connection {
    network: Rc<dyn Network>,
    clock: Rc<dyn Clock>,
    name: String,
    url: String,
    size: Option<u64>,
    validator: Validator,
    body: Option<Body>,
    /// Of the next byte that [`Connection::next`] gives.
    position: u64,
    /// Where the next request is to end; absent: at the file's end.
    until: Option<u64>,
    /// Whether it fetches what another connection has not come to: it takes nothing but what it asked for, and is not made anew.
    is_ahead: bool,
    /// Whether there were others beside it: a refusal may be for their number, and is waited for.
    had_others: bool,
    is_refused: bool,
    failures: usize,
}

struct Body {
    answer: Box<dyn Answer>,
    /// Of the next byte that the answer gives.
    position: u64,
    /// Where it was asked to end; absent: at the file's end.
    until: Option<u64>,
}

enum Verdict {
    Missing,
    /// The body begins where it was asked to.
    Continues,
    /// The same file, from its beginning: the server knows no ranges.
    Begins,
    /// Another file, from its beginning.
    Changed,
    /// Another file, or none; this answer has nothing of it.
    Useless,
    Refused(u16),
}

impl Connection {
    /// Requests a file from `from` on, up to `until`. Fails at once with `download-failed` where the server can't be reached or refuses.
    pub(crate) async fn open(
        (network, clock): (Rc<dyn Network>, Rc<dyn Clock>),
        name: &str,
        url: &str,
        (from, until): (u64, Option<u64>),
        known: Option<Known<'_>>,
    ) -> Result<Start> {
        let mut connection = Self {
            network,
            clock,
            name: name.into(),
            url: url.into(),
            size: known.as_ref().map(|known| known.size),
            validator: known.map_or_else(Validator::default, |known| known.validator.clone()),
            body: None,
            position: from,
            until,
            is_ahead: false,
            had_others: false,
            is_refused: false,
            failures: 0,
        };
        let mut changed = false;
        loop {
            let answer = connection.request().await?;
            match connection.judge(answer.as_ref()) {
                Verdict::Missing => return Ok(Start::Missing),
                Verdict::Continues => return Ok(Start::Same(connection, answer)),
                Verdict::Begins if changed => return Ok(Start::Changed(connection, answer)),
                Verdict::Begins if connection.position == 0 => return Ok(Start::Same(connection, answer)),
                Verdict::Begins => {
                    // Read over what is there already; the answer's head is not needed again.
                    connection.body = Some(Body { answer, position: 0, until: None });
                    return Ok(Start::Same(connection, Box::new(Spent)));
                }
                Verdict::Changed => {
                    connection.forget();
                    return Ok(Start::Changed(connection, answer));
                }
                Verdict::Useless if connection.size.is_some() || connection.position > 0 => {
                    connection.forget();
                    changed = true;
                }
                Verdict::Useless => return Err(connection.failed("the server answered with status 416 to a plain request")),
                Verdict::Refused(status) => {
                    return Err(connection.failed(&format!("the server answered with status {status}")));
                }
            }
        }
    }

    /// A connection that has nothing more to fetch: all bytes are at hand. Where some of them turn out to be none, they must be of the version that is known.
    pub(crate) fn at_end((network, clock): (Rc<dyn Network>, Rc<dyn Clock>), name: &str, url: &str, known: &Known<'_>) -> Self {
        Self {
            network,
            clock,
            name: name.into(),
            url: url.into(),
            size: Some(known.size),
            validator: known.validator.clone(),
            body: None,
            position: known.size,
            until: None,
            is_ahead: false,
            had_others: false,
            is_refused: false,
            failures: 0,
        }
    }

    /// A connection to the same file for its bytes `[from, until)`, which this one has not come to; none where no request could be held against what the
    /// server told of the file's version.
    pub(crate) fn ahead(&self, from: u64, until: u64) -> Option<Self> {
        self.validator.if_range().filter(|_| self.size.is_some())?;
        Some(Self {
            network: self.network.clone(),
            clock: self.clock.clone(),
            name: self.name.clone(),
            url: self.url.clone(),
            size: self.size,
            validator: self.validator.clone(),
            body: None,
            position: from,
            until: Some(until),
            is_ahead: true,
            had_others: true,
            is_refused: false,
            failures: 0,
        })
    }

    /// Makes one that was ahead the reader's own.
    pub(crate) fn caught_up(mut self) -> Self {
        self.is_ahead = false;
        self
    }

    /// There are others beside it now.
    pub(crate) fn add_others(&mut self) {
        self.had_others = true;
    }

    /// Whether a server refused one of its requests, in place of breaking it off.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Of the next byte that it gives.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the answer at hand goes on behind `at`.
    pub(crate) fn goes_beyond(&self, at: u64) -> bool {
        self.body.as_ref().is_some_and(|body| body.until.is_none_or(|until| until > at))
    }

    /// Where the requests to come are to end; absent: at the file's end.
    pub(crate) fn limit(&mut self, until: Option<u64>) {
        self.until = until;
    }

    fn forget(&mut self) {
        self.position = 0;
        self.until = None;
        self.size = None;
        self.validator = Validator::default();
    }

    /// Goes on with an answer that [`Connection::open`] returned, of a file of `size` bytes.
    pub(crate) fn stream(&mut self, answer: Box<dyn Answer>, size: u64, validator: Validator) {
        self.size = Some(size);
        self.validator = validator;
        if self.body.is_none() {
            // A plain answer has the whole file, whatever part was asked for.
            let until = self.until.filter(|_| answer.status() == 206);
            self.body = Some(Body { answer, position: self.position, until });
        }
    }

    /// Reads an answer whose length nobody told to its end; `download-failed` above `limit` bytes.
    pub(crate) async fn drain(&self, mut answer: Box<dyn Answer>, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = within(self.clock.as_ref(), STALL_MS, answer.piece()).await;
            match piece.unwrap_or_else(|| Err(self.failed("the connection was silent for too long")))? {
                None => return Ok(bytes),
                Some(piece) => bytes.extend(piece),
            }
            if bytes.len() > limit {
                return Err(self.failed("the file is large, and its length is not known from the answer's headers"));
            }
        }
    }

    /// The next bytes, at the position where the last ones ended. A connection that breaks, stalls or ends early is made anew, with pauses; without
    /// any new byte that ends as `download-failed`. So does a file that changed meanwhile.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            let Some(body) = &mut self.body else {
                self.reopen().await?;
                continue;
            };
            let outcome = within(self.clock.as_ref(), STALL_MS, body.answer.piece()).await;
            let end = body.position;
            match outcome {
                Some(Ok(Some(mut piece))) => {
                    let skip = usize::try_from(self.position - body.position).unwrap_or(usize::MAX).min(piece.len());
                    body.position += piece.len() as u64;
                    if self.size.is_some_and(|size| body.position > size) {
                        return Err(self.failed(
                            "the body is longer than the server said; a server that compresses on the wire breaks lengths: turn that off for \
                             model files",
                        ));
                    }
                    piece.drain(..skip);
                    if !piece.is_empty() {
                        self.position += piece.len() as u64;
                        self.failures = 0;
                        return Ok(piece);
                    }
                }
                Some(Ok(None)) if body.until == Some(end) && self.position == end => self.body = None,
                Some(Ok(None)) => self.broke(&format!("the connection ended after {end} bytes")).await?,
                Some(Err(error)) if error.kind() == ErrorKind::DownloadFailed => self.broke(error.detail()).await?,
                Some(Err(error)) => return Err(error),
                None => self.broke(&format!("no byte came for {} s after {end} bytes", STALL_MS / 1000.0)).await?,
            }
        }
    }

    /// Jumps; the next bytes are those at `position`.
    pub(crate) fn seek(&mut self, position: u64) {
        self.body = None;
        self.position = position;
    }

    async fn reopen(&mut self) -> Result<()> {
        let answer = match self.request().await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::DownloadFailed => return self.broke(error.detail()).await,
            Err(error) => return Err(error),
        };
        let verdict = self.judge(answer.as_ref());
        let vouches = self.validator.vouches_for(&Validator::of(answer.as_ref()));
        self.is_refused |= match verdict {
            Verdict::Refused(status) => status < 500,
            Verdict::Continues => self.is_ahead && !vouches,
            _ => self.is_ahead,
        };
        if self.is_ahead && !(vouches && matches!(verdict, Verdict::Continues)) {
            return Err(self.failed("the server did not give a part of the file beside another one"));
        }
        let (position, until) = match verdict {
            Verdict::Continues => (self.position, self.until),
            Verdict::Begins => (0, None),
            Verdict::Missing | Verdict::Changed | Verdict::Useless => {
                return Err(self.failed("the file changed on the server while it was read; load the model again"));
            }
            Verdict::Refused(status) if status >= 500 || status == 429 || self.had_others && matches!(status, 401 | 403) => {
                let wished_ms = number(answer.as_ref(), "retry-after").unwrap_or_default() as f64 * 1_000.0;
                drop(answer);
                return self.pause(&format!("the server answered with status {status}"), wished_ms.min(LONGEST_PAUSE_MS)).await;
            }
            Verdict::Refused(status) => return Err(self.failed(&format!("the server answered with status {status}"))),
        };
        self.body = Some(Body { answer, position, until });
        Ok(())
    }

    /// Waits before the next attempt, or fails where there were enough.
    async fn broke(&mut self, what: &str) -> Result<()> {
        self.pause(what, 0.0).await
    }

    /// As [`Connection::broke`], for `least_ms` at least.
    async fn pause(&mut self, what: &str, least_ms: f64) -> Result<()> {
        self.body = None;
        let Some(pause_ms) = PAUSES_MS.get(self.failures).filter(|_| !self.is_ahead) else { return Err(self.failed(what)) };
        self.failures += 1;
        self.clock.sleep(pause_ms.max(least_ms)).await;
        Ok(())
    }

    async fn request(&self) -> Result<Box<dyn Answer>> {
        let if_range = self.validator.if_range().filter(|_| self.position > 0);
        let get = Get { url: self.url.clone(), from: self.position, until: self.until, if_range, head_only: false };
        within(self.clock.as_ref(), STALL_MS, self.network.get(&get))
            .await
            .unwrap_or_else(|| Err(self.failed(&format!("the server did not answer within {} s", STALL_MS / 1000.0))))
    }

    fn judge(&self, answer: &dyn Answer) -> Verdict {
        let same = Validator::of(answer).agrees(&self.validator);
        let length = number(answer, "content-length").filter(|_| answer.header("content-encoding").is_none());
        match answer.status() {
            404 | 410 => Verdict::Missing,
            206 => {
                let range = answer.header("content-range").and_then(|text| ContentRange::parse(&text));
                let end = self.until.or(self.size);
                let fits = range.is_none_or(|range| range.first == self.position && range.agrees_with(end, self.size));
                let lasts = match (length, end) {
                    (Some(length), Some(end)) => self.position + length == end,
                    _ => true,
                };
                if same && fits && lasts { Verdict::Continues } else { Verdict::Useless }
            }
            200 if self.position == 0 && self.size.is_none() => Verdict::Begins,
            200 if same && self.size.is_none_or(|size| length.is_none_or(|length| length == size)) => Verdict::Begins,
            200 => Verdict::Changed,
            416 => Verdict::Useless,
            status => Verdict::Refused(status),
        }
    }

    fn failed(&self, what: &str) -> Error {
        // A network's own errors carry name and address already.
        let text = if what.contains(&self.url) { what.to_owned() } else { format!("{}: {what} ({})", self.name, self.url) };
        Error::new(ErrorKind::DownloadFailed, text)
    }
}

/// Stands for an answer that the connection has taken over.
struct Spent;

impl Answer for Spent {
    fn status(&self) -> u16 {
        206
    }

    fn header(&self, _: &str) -> Option<String> {
        None
    }

    fn piece(&mut self) -> eyas_weights::LocalFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(None) })
    }
}
