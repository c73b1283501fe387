//! The models on this device, as JavaScript sees them. What no engine needs is in the CPU's module only, where the worker asks for it.

use eyas_core::Error;
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

/// What becomes of `version`, a model's current one, while the version before is kept: `begin` and `end` stand around its first answer, `settle` and
/// `roll-back` decide, and `put-back` is for a worker that broke, whatever the version. False where there was nothing to be decided any more.
#[wasm_bindgen(js_name = "judgeModel")]
pub async fn judge_model(
    host: StoreHost,
    id: String,
    version: String,
    judgement: String,
    cancel: &CancelHandle,
) -> Result<bool, JsValue> {
    let store = store(host, &cancel.share());
    let judged = match judgement.as_str() {
        "begin" => store.begin_try(&id, &version).await,
        "end" => store.end_try(&id, &version).await,
        "settle" => store.settle(&id, &version).await,
        "roll-back" => store.roll_back(&id, &version).await,
        "put-back" => store.put_back(&id).await,
        _ => Err(Error::internal(format!("a model can't be judged by {judgement:?}"))),
    };
    judged.map_err(|error| js_error(&error))
}
