//! A newer version of a stored model, fetched beside the one that loads use.

use eyas_core::{LoadPhase, Progress, Result};
use eyas_store::{Fetching, Newer};
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    cancel_handle::CancelHandle,
    js_error::js_error,
    js_value,
    opening::{StoreOptions, store},
    progress_reports::ProgressReports,
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
/// `MeteredProgress` from `progress_reports.rs`.
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
        let reports = ProgressReports::new(&on_progress);
        let report = |at: Fetching<'_>| {
            fetched_bytes.set(at.meter.fetched_bytes());
            let (loaded_bytes, total_bytes) = (at.loaded_bytes, at.total_bytes.max(at.loaded_bytes));
            let progress = Progress { phase: LoadPhase::Weights, loaded_bytes, total_bytes, detail: at.name.to_owned() };
            reports.tell(progress, at.meter);
        };
        let newer = store(host, &cancel).fetch_newer(storing.id()?, ports, expectations, &report).await?;
        Ok(Fetched { newer: newer == Newer::Fetched, fetched_bytes: fetched_bytes.get() })
    }
    .await;
    js_value::write(&fetched.map_err(|error| js_error(&error))?)
}
