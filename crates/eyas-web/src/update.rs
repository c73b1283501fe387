//! A newer version of a stored model: fetched beside the one that loads use, tried, and put in its place.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, LoadOptions, LoadPhase, Progress, Result};
use eyas_engine::try_answer;
use eyas_store::{Fetching, Newer};
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::{Cancel, CancelHandle},
    engine::{Model, WasmEngine},
    js_error::js_error,
    js_value,
    opening::{MeteredProgress, Opening, StoreOptions, store},
    store_host::StoreHost,
};

/// What fetching came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fetched {
    /// Whether there is a newer version to be tried.
    newer: bool,
    fetched_bytes: u64,
}

/// Fetches what the server has of a newer version: `Fetched` as an object. `storing` as `StoreOptions` in `opening.rs`; `on_progress` gets
/// `MeteredProgress` from there.
#[wasm_bindgen(js_name = "fetchNewer")]
pub async fn fetch_newer(
    #[wasm_bindgen(js_name = "onProgress")] on_progress: Function,
    cancel: &CancelHandle,
    host: StoreHost,
    storing: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let cancel = cancel.share();
    let fetched: Result<Fetched> = async {
        let storing: StoreOptions = js_value::read(&storing, "store options")?;
        let (ports, expectations) = storing.ports(&host, &cancel);
        let fetched_bytes = std::cell::Cell::new(0);
        let report = |at: Fetching<'_>| {
            fetched_bytes.set(at.meter.fetched_bytes());
            let (loaded_bytes, total_bytes) = (at.loaded_bytes, at.total_bytes.max(at.loaded_bytes));
            let progress = Progress { phase: LoadPhase::Weights, loaded_bytes, total_bytes, detail: at.name.to_owned() };
            if let Ok(progress) = js_value::write(&MeteredProgress::new(progress, at.meter)) {
                // An exception in the page's callback is the page's; the update goes on.
                let _ = on_progress.call1(&JsValue::UNDEFINED, &progress);
            }
        };
        let newer = store(host, &cancel).fetch_newer(storing.id()?, ports, expectations, &report).await?;
        Ok(Fetched { newer: newer == Newer::Fetched, fetched_bytes: fetched_bytes.get() })
    }
    .await;
    js_value::write(&fetched.map_err(|error| js_error(&error))?)
}

/// Loads the newer version that was fetched, lets it answer, and puts it in the place of the current one, which is kept until the new one has answered
/// the application. Where it fails by its own fault it goes. Returns its name.
#[wasm_bindgen(js_name = "tryNewer")]
pub async fn try_newer(
    source: JsValue,
    options: JsValue,
    #[wasm_bindgen(js_name = "onProgress")] on_progress: Function,
    cancel: &CancelHandle,
    host: StoreHost,
    storing: JsValue,
) -> std::result::Result<Option<String>, JsValue> {
    let cancel = cancel.share();
    let tried = async {
        let options: LoadOptions = js_value::read(&options, "load options")?;
        let storing: StoreOptions = js_value::read(&storing, "store options")?;
        let opening = Rc::new(Opening::candidate(host, storing, &cancel).await?);
        let tried = answer(&source, &options, &on_progress, &opening, &cancel).await;
        opening.conclude(tried).await.0?;
        let version = opening.model.version();
        opening.model.promote().await?;
        Ok(version)
    };
    tried.await.map_err(|error: Error| js_error(&error))
}

async fn answer(
    source: &JsValue,
    options: &LoadOptions,
    on_progress: &Function,
    opening: &Rc<Opening>,
    cancel: &Cancel,
) -> Result<()> {
    let (model, _device) = WasmEngine::read(source, options, on_progress, opening, cancel).await?;
    let answered = match &model {
        Model::Decoder(engine) => try_answer(engine, None).await,
        Model::Encoder(engine) => engine.embed("The sun rises in the east.").await.map(|_| ()),
    };
    // The load's canary has shown that the device computes right.
    answered.map_err(|error| match error.kind() {
        ErrorKind::BadDevice => Error::bad_model(format!("the model loads, but does not answer: {}", error.detail())),
        _ => error,
    })
}
