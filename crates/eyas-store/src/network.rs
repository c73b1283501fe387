//! The network, as the shell gives it.

use eyas_core::Result;
use eyas_weights::LocalFuture;

/// A GET or HEAD request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// The address.
    pub url: String,
    /// The first byte that is wanted. 0 without an end asks for the whole file, without a `Range` header.
    pub from: u64,
    /// The byte behind the last one that is wanted; absent: to the file's end.
    pub until: Option<u64>,
    /// A strong validator for `If-Range` (RFC 9110, section 13.1.5). A shell leaves the header out where it would cost a preflight; the answer's
    /// validators are compared in any case.
    pub if_range: Option<String>,
    /// Whether only the head is wanted.
    pub head_only: bool,
}

impl Get {
    /// The value of the `Range` header, if there is to be one.
    pub fn range(&self) -> Option<String> {
        match self.until {
            Some(until) => Some(format!("bytes={}-{}", self.from, until.saturating_sub(1))),
            None if self.from > 0 => Some(format!("bytes={}-", self.from)),
            None => None,
        }
    }
}

/// What came back: the head at once, the body in pieces. Dropping it closes the connection.
pub trait Answer {
    /// The status.
    fn status(&self) -> u16;
    /// A header by its lower-case name. Across origins, a browser shows only what the server exposes.
    fn header(&self, name: &str) -> Option<String>;
    /// The next bytes, decoded where the server compressed them; none at the end. A connection that breaks is `download-failed`.
    fn piece(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>>>;
}

/// Fetches: without credentials, without a referrer, following redirects.
pub trait Network {
    /// Sends a request. Fails with `download-failed` where nothing answers, `aborted` where the caller gave up.
    fn get<'a>(&'a self, get: &'a Get) -> LocalFuture<'a, Result<Box<dyn Answer>>>;
}
