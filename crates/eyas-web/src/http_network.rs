//! The worker's fetch, for model files.

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{Answer, Get, Network};
use eyas_weights::LocalFuture;
use js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Headers, Request, RequestCredentials, RequestInit, Response, WorkerGlobalScope};

use crate::{cancel_handle::Cancel, js_error::describe, store_host::StoreHost};

#[wasm_bindgen]
extern "C" {
    /// A response's body (Streams, ReadableStream).
    type Body;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Body, options: &JsValue) -> std::result::Result<BodyReader, JsValue>;

    /// A ReadableStreamBYOBReader, or a ReadableStreamDefaultReader, which does not look at `read`'s argument.
    type BodyReader;
    #[wasm_bindgen(method)]
    fn read(this: &BodyReader, into: Option<Uint8Array>) -> Promise;
    #[wasm_bindgen(method)]
    fn cancel(this: &BodyReader) -> Promise;

    /// An `ArrayBuffer` that there may be no memory for.
    #[wasm_bindgen(extends = ArrayBuffer)]
    type PieceBuffer;
    #[wasm_bindgen(constructor, catch, js_class = "ArrayBuffer")]
    fn new(bytes: u32) -> std::result::Result<PieceBuffer, JsValue>;

    /// What a reader of a body gives (Streams, ReadableStreamReadResult).
    type ReadResult;
    #[wasm_bindgen(method, getter)]
    fn done(this: &ReadResult) -> bool;
    /// Absent, or without a byte, at the end.
    #[wasm_bindgen(method, getter)]
    fn value(this: &ReadResult) -> Option<Uint8Array>;
}

/// What a body is read into at a time, at most: one buffer that is used again, where a browser by itself makes a new one, of up to some MB, for each piece.
const PIECE_BYTES: u32 = 1 << 20;

const HINT: &str = "the network is down, the server does not exist, or it does not allow this origin (CORS)";

/// Fetches without credentials and without a referrer.
pub(crate) struct HttpNetwork {
    pub(crate) host: StoreHost,
    pub(crate) cancel: Cancel,
    /// Whether the browser's own cache stays out of it: what the store keeps need not be kept twice.
    pub(crate) bypasses_cache: bool,
}

impl Network for HttpNetwork {
    fn get<'a>(&'a self, get: &'a Get) -> LocalFuture<'a, Result<Box<dyn Answer>>> {
        Box::pin(async move {
            let response = match self.begun(get).await {
                Some(response) => Ok(response),
                None => JsFuture::from(self.sent(get).map_err(|error| download_failed(&get.url, &describe(&error)))?).await,
            };
            self.cancel.token.check()?;
            let response = response.map_err(|error| download_failed(&get.url, &format!("{}; {HINT}", describe(&error))))?;
            Ok(Box::new(HttpAnswer::new(get.url.clone(), response.unchecked_into(), self.cancel.clone())) as Box<dyn Answer>)
        })
    }
}

impl HttpNetwork {
    /// The answer to the same request, where the worker sent it before and it did not fail: it waited for the module, and another one may do better now.
    async fn begun(&self, get: &Get) -> Option<JsValue> {
        if get.range().is_some() || get.head_only {
            return None;
        }
        let begun = self.host.begun(&get.url)?;
        let response = JsFuture::from(begun).await.ok()?;
        (response.unchecked_ref::<Response>().status() < 500).then_some(response)
    }

    fn sent(&self, get: &Get) -> std::result::Result<Promise, JsValue> {
        let request = self.request(get)?;
        Ok(match js_sys::global().dyn_into::<WorkerGlobalScope>() {
            Ok(worker) => worker.fetch_with_request(&request),
            Err(global) => global.unchecked_into::<web_sys::Window>().fetch_with_request(&request),
        })
    }

    fn request(&self, get: &Get) -> std::result::Result<Request, JsValue> {
        let init = RequestInit::new();
        let headers = Headers::new()?;
        if let Some(range) = get.range() {
            headers.set("Range", &range)?;
            // Between origins this header would have to be allowed by the server first; there, the answer's validators have to do.
            if let Some(if_range) = get.if_range.as_ref().filter(|_| is_own_origin(&get.url)) {
                headers.set("If-Range", if_range)?;
            }
        }
        if get.head_only {
            init.set_method("HEAD");
        }
        if self.bypasses_cache {
            Reflect::set(&init, &JsValue::from_str("cache"), &JsValue::from_str("no-store"))?;
        }
        init.set_headers(&headers);
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(web_sys::ReferrerPolicy::NoReferrer);
        init.set_signal(Some(&self.cancel.signal));
        Request::new_with_str_and_init(&get.url, &init)
    }
}

/// Whether a URL is of the page's own origin.
fn is_own_origin(url: &str) -> bool {
    let origin = Reflect::get(&js_sys::global(), &JsValue::from_str("origin")).ok().and_then(|origin| origin.as_string());
    origin.is_some_and(|origin| url.strip_prefix(&origin).is_some_and(|path| path.starts_with('/')))
}

/// Reads a body piece by piece.
struct PieceReader {
    body: BodyReader,
    /// Whether it reads into a buffer of the caller's, which not every browser does.
    takes_buffers: bool,
    /// That of the last piece.
    buffer: Option<ArrayBuffer>,
}

impl PieceReader {
    /// Absent where somebody else reads the body.
    fn new(body: &Body) -> Option<Self> {
        let options = Object::new();
        Reflect::set(&options, &JsValue::from_str("mode"), &JsValue::from_str("byob")).ok()?;
        let (body, takes_buffers) = match body.reader(&options) {
            Ok(reader) => (reader, true),
            Err(_) => (body.reader(&JsValue::UNDEFINED).ok()?, false),
        };
        Some(Self { body, takes_buffers, buffer: None })
    }

    /// Makes the buffer for the next bytes, where they need one and there is none.
    fn make_room(&mut self) -> Result<()> {
        if self.takes_buffers && self.buffer.is_none() {
            let buffer = PieceBuffer::new(PIECE_BYTES).map_err(|error| {
                let detail =
                    format!("expected memory for {PIECE_BYTES} bytes, found none ({}); close other pages", describe(&error));
                Error::new(ErrorKind::OutOfMemory, detail)
            })?;
            self.buffer = Some(buffer.unchecked_into());
        }
        Ok(())
    }

    /// The next bytes, behind [`Self::make_room`]; none at the end.
    async fn next(&mut self) -> std::result::Result<Option<Vec<u8>>, JsValue> {
        // Reading takes the buffer away, and gives it back with the bytes.
        let into = self.buffer.take().map(|buffer| Uint8Array::new(&buffer));
        let read = JsFuture::from(self.body.read(into)).await?;
        let read = read.unchecked_into::<ReadResult>();
        let Some(bytes) = read.value().filter(|_| !read.done()) else { return Ok(None) };
        self.buffer = self.takes_buffers.then(|| bytes.buffer());
        Ok(Some(bytes.to_vec()))
    }
}

struct HttpAnswer {
    url: String,
    response: Response,
    reader: Option<PieceReader>,
    received_bytes: u64,
    cancel: Cancel,
}

impl HttpAnswer {
    fn new(url: String, response: Response, cancel: Cancel) -> Self {
        let reader = response.body().and_then(|body| PieceReader::new(body.unchecked_ref()));
        Self { url, response, reader, received_bytes: 0, cancel }
    }
}

impl Answer for HttpAnswer {
    fn status(&self) -> u16 {
        self.response.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    fn piece(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            reader.make_room()?;
            let next = reader.next().await;
            self.cancel.token.check()?;
            let next = next.map_err(|error| {
                download_failed(
                    &self.url,
                    &format!("the connection broke after {} bytes: {}", self.received_bytes, describe(&error)),
                )
            })?;
            self.received_bytes += next.as_ref().map_or(0, Vec::len) as u64;
            Ok(next)
        })
    }
}

impl Drop for HttpAnswer {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            // An error in closing concerns nobody, but a rejection that nobody awaits would be reported.
            let closing = reader.body.cancel();
            spawn_local(async move {
                let _ = JsFuture::from(closing).await;
            });
        }
    }
}

fn download_failed(url: &str, what: &str) -> Error {
    Error::new(ErrorKind::DownloadFailed, format!("{what} ({url})"))
}
