//! What the worker gives to the tiers: time, the way out, the application's tokens, and a place for marks. The worker's side is
//! `www/eyas/src/tier_host.ts`.

use eyas_core::{Error, Result};
use eyas_tier::{
    CloudPermit, CloudRequest, CloudResponse, EgressEntry, LocalFuture, Network, NetworkFailure, Store, TokenSource,
};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::{host_clock::Timer, js_error::describe, js_value};

#[wasm_bindgen]
extern "C" {
    /// The worker's side.
    #[derive(Clone)]
    pub type TierHost;
    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &TierHost, ms: f64) -> Timer;
    #[wasm_bindgen(method, catch)]
    fn post(this: &TierHost, url: &str, token: Option<String>, body: Vec<u8>) -> std::result::Result<HostPost, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn token(this: &TierHost, refresh: bool) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method)]
    fn egress(this: &TierHost, entry: JsValue);
    #[wasm_bindgen(method, catch, js_name = "storeGet")]
    fn store_get(this: &TierHost, key: &str) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = "storeSet")]
    fn store_set(this: &TierHost, key: &str, text: Option<String>) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = "storeLeave")]
    fn store_leave(this: &TierHost, key: &str, text: &str) -> std::result::Result<Promise, JsValue>;

    /// A request under way.
    pub type HostPost;
    #[wasm_bindgen(method, getter)]
    fn answer(this: &HostPost) -> Promise;
    #[wasm_bindgen(method)]
    fn close(this: &HostPost);

    /// What a server answered.
    pub type HostAnswer;
    #[wasm_bindgen(method, getter)]
    fn status(this: &HostAnswer) -> u16;
    #[wasm_bindgen(method)]
    fn header(this: &HostAnswer, name: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    fn chunk(this: &HostAnswer) -> Promise;
}

async fn settled(promise: std::result::Result<Promise, JsValue>) -> std::result::Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// The worker's fetch.
pub(crate) struct HostNetwork(pub(crate) TierHost);

impl Network for HostNetwork {
    fn post<'a>(
        &'a self,
        _: &'a CloudPermit,
        request: CloudRequest,
    ) -> LocalFuture<'a, Result<Box<dyn CloudResponse>, NetworkFailure>> {
        Box::pin(async move {
            let connection = Connection(self.0.post(&request.url, request.token, request.body).map_err(failure)?);
            let answer = JsFuture::from(connection.0.answer()).await.map_err(failure)?;
            Ok(Box::new(Answer { answer: answer.unchecked_into(), _connection: connection }) as Box<dyn CloudResponse>)
        })
    }
}

/// A request that is ended when nobody waits for it any more, before its head as well as in its body.
struct Connection(HostPost);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Answer {
    answer: HostAnswer,
    _connection: Connection,
}

impl CloudResponse for Answer {
    fn status(&self) -> u16 {
        self.answer.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.answer.header(name)
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, NetworkFailure>> {
        Box::pin(async move {
            let chunk = JsFuture::from(self.answer.chunk()).await.map_err(failure)?;
            Ok(chunk.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
        })
    }
}

fn failure(error: JsValue) -> NetworkFailure {
    NetworkFailure(describe(&error))
}

/// The application's `getToken`.
pub(crate) struct HostTokens(pub(crate) TierHost);

impl TokenSource for HostTokens {
    fn token(&self, refresh: bool) -> LocalFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            let token = settled(self.0.token(refresh)).await;
            let token = token.map_err(|error| Error::bad_input(format!("getToken failed: {}", describe(&error))))?;
            Ok(token.as_string())
        })
    }
}

/// The page's storage. Where there is none, marks are not kept.
pub(crate) struct HostStore(pub(crate) TierHost);

impl Store for HostStore {
    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Option<String>> {
        Box::pin(async move { settled(self.0.store_get(key)).await.ok()?.as_string() })
    }

    fn set<'a>(&'a self, key: &'a str, text: Option<&'a str>) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            let _ = settled(self.0.store_set(key, text.map(str::to_owned))).await;
        })
    }

    fn leave<'a>(&'a self, key: &'a str, text: &'a str) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            let _ = settled(self.0.store_leave(key, text)).await;
        })
    }
}

/// Tells the page of an entry of the ledger.
pub(crate) fn report_egress(host: &TierHost, entry: &EgressEntry) {
    if let Ok(entry) = js_value::write(entry) {
        host.egress(entry);
    }
}
