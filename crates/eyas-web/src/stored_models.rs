//! The models on this device, as JavaScript sees them. What no engine needs is in the CPU's module only, where the worker asks for it.

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[cfg(feature = "cpu")]
use crate::js_value;
use crate::{cancel_handle::CancelHandle, js_error::js_error, opening::store, store_host::StoreHost};

/// All models: `eyas_store::StoredModel[]`.
#[cfg(feature = "cpu")]
#[wasm_bindgen(js_name = "listModels")]
pub async fn list_models(host: StoreHost, cancel: &CancelHandle) -> Result<JsValue, JsValue> {
    let models = store(host, &cancel.share()).list().await;
    js_value::write(&models.map_err(|error| js_error(&error))?)
}

/// Removes a model by its id, when no tab is loading it any more; false where there is none.
#[cfg(feature = "cpu")]
#[wasm_bindgen(js_name = "removeModel")]
pub async fn remove_model(host: StoreHost, id: String, cancel: &CancelHandle) -> Result<bool, JsValue> {
    store(host, &cancel.share()).remove(&id).await.map_err(|error| js_error(&error))
}

/// After the first answer of `version`: the one before it goes. False where another one is current by now, or none was before it.
#[wasm_bindgen(js_name = "settleModel")]
pub async fn settle_model(host: StoreHost, id: String, version: String, cancel: &CancelHandle) -> Result<bool, JsValue> {
    store(host, &cancel.share()).settle(&id, &version).await.map_err(|error| js_error(&error))
}

/// Where `version` does not answer: the one before it comes back. False where another one is current by now, or none was before it.
#[wasm_bindgen(js_name = "rollBackModel")]
pub async fn roll_back_model(host: StoreHost, id: String, version: String, cancel: &CancelHandle) -> Result<bool, JsValue> {
    store(host, &cancel.share()).roll_back(&id, &version).await.map_err(|error| js_error(&error))
}
