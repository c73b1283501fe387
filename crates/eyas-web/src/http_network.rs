//! A file over HTTP: one streamed request that is read in order; a jump makes a range request.

use std::cell::RefCell;

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{LocalFuture, RangeReader};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Headers, ReadableStreamDefaultReader, Request, RequestCredentials, RequestInit, Response, WorkerGlobalScope};

use crate::{cancel_handle::Cancel, js_error::describe};

/// A forward jump up to this size is read over rather than requested anew.
const READ_OVER_BYTES: u64 = 1 << 20;
/// A body of unknown length is kept in memory up to this size.
const UNSIZED_LIMIT_BYTES: usize = 64 << 20;

/// What opening a URL found.
pub(crate) enum Opened {
    /// The file.
    File(HttpReader),
    /// The server says that there is no such file, or answered with a page.
    Missing,
}

/// Random access to a URL. Reading in order, as the loader does, takes a single request and needs no range support.
pub(crate) struct HttpReader {
    name: String,
    url: String,
    size: u64,
    cancel: Cancel,
    state: RefCell<State>,
}

enum State {
    /// A whole body whose length no header gave.
    Whole(Vec<u8>),
    /// A body that is being read.
    Stream(Body),
    /// Nothing is open.
    Closed,
}

struct Body {
    reader: ReadableStreamDefaultReader,
    /// Offset in the file of the first byte of `pending`.
    position: u64,
    pending: Vec<u8>,
}

impl HttpReader {
    /// Requests `url`. Fails with `download-failed` on a network error or an error status other than 404 and 410.
    pub(crate) async fn open(name: &str, url: &str, page_is_missing: bool, cancel: &Cancel) -> Result<Opened> {
        let response = request(name, url, 0, cancel).await?;
        if matches!(response.status(), 404 | 410) {
            return Ok(Opened::Missing);
        }
        if !response.ok() {
            return Err(download_failed(name, url, &format!("the server answered with status {}", response.status())));
        }
        let header = |key: &str| response.headers().get(key).ok().flatten();
        if page_is_missing && header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            return Ok(Opened::Missing);
        }
        // A compressed body's length is not the file's, and another origin's answer hides that it is compressed: text is read to its end.
        let is_text = [".json", ".jinja"].iter().any(|ending| name.ends_with(ending));
        let length = match header("content-encoding") {
            None if !is_text => header("content-length").and_then(|length| length.parse::<u64>().ok()),
            _ => None,
        };
        let mut body = Body::of(&response, 0).map_err(|error| download_failed(name, url, &describe(&error)))?;
        let (size, state) = match length {
            Some(size) => (size, State::Stream(body)),
            None => {
                while body.pull(name, url, cancel).await? {
                    if body.pending.len() > UNSIZED_LIMIT_BYTES {
                        return Err(download_failed(
                            name,
                            url,
                            "the file is large and its length is not known from the answer's headers",
                        ));
                    }
                }
                (body.pending.len() as u64, State::Whole(body.pending))
            }
        };
        Ok(Opened::File(Self { name: name.into(), url: url.into(), size, cancel: cancel.clone(), state: RefCell::new(state) }))
    }

    async fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size).ok_or_else(|| {
            Error::bad_model(format!(
                "{}: expected {length} bytes at offset {offset}, but the file has {} bytes; it may be truncated",
                self.name, self.size
            ))
        })?;
        let mut body = match self.state.replace(State::Closed) {
            State::Whole(bytes) => {
                let part = bytes[offset as usize..end as usize].to_vec();
                self.state.replace(State::Whole(bytes));
                return Ok(part);
            }
            State::Stream(body) if body.reaches(offset) => body,
            State::Stream(body) => {
                body.close();
                self.reopen(offset).await?
            }
            State::Closed => self.reopen(offset).await?,
        };
        body.skip_to(offset, self).await?;
        while body.pending.len() < length {
            if !body.pull(&self.name, &self.url, &self.cancel).await? {
                let have = body.position + body.pending.len() as u64;
                return Err(self.cut_off(have));
            }
        }
        let rest = body.pending.split_off(length);
        let part = std::mem::replace(&mut body.pending, rest);
        body.position = end;
        self.state.replace(if end == self.size { State::Closed } else { State::Stream(body) });
        Ok(part)
    }

    /// Requests the file from `offset` on; a server without ranges sends it from the beginning.
    async fn reopen(&self, offset: u64) -> Result<Body> {
        let response = request(&self.name, &self.url, offset, &self.cancel).await?;
        let start = match response.status() {
            206 => offset,
            200 => 0,
            status => return Err(download_failed(&self.name, &self.url, &format!("the server answered with status {status}"))),
        };
        Body::of(&response, start).map_err(|error| download_failed(&self.name, &self.url, &describe(&error)))
    }

    fn cut_off(&self, have: u64) -> Error {
        download_failed(&self.name, &self.url, &format!("the connection ended after {have} of {} bytes", self.size))
    }
}

impl RangeReader for HttpReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(self.read_range(offset, length))
    }
}

impl Drop for HttpReader {
    fn drop(&mut self) {
        if let State::Stream(body) = self.state.replace(State::Closed) {
            body.close();
        }
    }
}

impl Body {
    fn of(response: &Response, position: u64) -> std::result::Result<Self, JsValue> {
        let stream = response.body().ok_or_else(|| JsValue::from_str("the answer has no body"))?;
        Ok(Self { reader: stream.get_reader().dyn_into()?, position, pending: Vec::new() })
    }

    /// Whether `offset` can be read by going on.
    fn reaches(&self, offset: u64) -> bool {
        offset >= self.position && offset - self.position <= self.pending.len() as u64 + READ_OVER_BYTES
    }

    /// Appends what the network has next; false at the end.
    async fn pull(&mut self, name: &str, url: &str, cancel: &Cancel) -> Result<bool> {
        let next = JsFuture::from(self.reader.read()).await;
        cancel.token.check()?;
        let next = next.map_err(|error| {
            let have = self.position + self.pending.len() as u64;
            download_failed(name, url, &format!("the connection broke after {have} bytes: {}", describe(&error)))
        })?;
        let field = |key: &str| Reflect::get(&next, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED);
        if field("done").is_truthy() {
            return Ok(false);
        }
        let chunk: Uint8Array = field("value").unchecked_into();
        let old = self.pending.len();
        self.pending.resize(old + chunk.length() as usize, 0);
        chunk.copy_to(&mut self.pending[old..]);
        Ok(true)
    }

    /// Throws away what lies before `offset`.
    async fn skip_to(&mut self, offset: u64, file: &HttpReader) -> Result<()> {
        while self.position < offset {
            let skip = usize::try_from(offset - self.position).unwrap_or(usize::MAX).min(self.pending.len());
            self.pending.drain(..skip);
            self.position += skip as u64;
            if self.position < offset && !self.pull(&file.name, &file.url, &file.cancel).await? {
                return Err(file.cut_off(self.position));
            }
        }
        Ok(())
    }

    fn close(self) {
        // An error in closing concerns nobody, but a rejection that nobody awaits would be reported.
        let closing = self.reader.cancel();
        spawn_local(async move {
            let _ = JsFuture::from(closing).await;
        });
    }
}

/// Fetches from `offset` on, without credentials and without a referrer.
async fn request(name: &str, url: &str, offset: u64, cancel: &Cancel) -> Result<Response> {
    let failed = |error: JsValue| download_failed(name, url, &describe(&error));
    let init = RequestInit::new();
    let headers = Headers::new().map_err(failed)?;
    if offset > 0 {
        headers.set("Range", &format!("bytes={offset}-")).map_err(failed)?;
    }
    init.set_headers(&headers);
    init.set_credentials(RequestCredentials::Omit);
    init.set_referrer_policy(web_sys::ReferrerPolicy::NoReferrer);
    init.set_signal(Some(&cancel.signal));
    let request = Request::new_with_str_and_init(url, &init).map_err(failed)?;
    let promise = match js_sys::global().dyn_into::<WorkerGlobalScope>() {
        Ok(worker) => worker.fetch_with_request(&request),
        Err(global) => global.unchecked_into::<web_sys::Window>().fetch_with_request(&request),
    };
    let response = JsFuture::from(promise).await;
    cancel.token.check()?;
    let response = response.map_err(|error| {
        let hint = "the network is down, the server does not exist, or it does not allow this origin (CORS)";
        download_failed(name, url, &format!("{}; {hint}", describe(&error)))
    })?;
    Ok(response.unchecked_into())
}

fn download_failed(name: &str, url: &str, what: &str) -> Error {
    Error::new(ErrorKind::DownloadFailed, format!("{name}: {what} ({url})"))
}
