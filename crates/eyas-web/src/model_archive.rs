//! A stored model as one file, as JavaScript sees it.

use eyas_store::ModelExport;
use js_sys::{Function, Uint8Array};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::Blob;

use crate::{
    blob_reader::BlobReader, cancel_handle::CancelHandle, js_error::js_error, js_value, opening::store, store_host::StoreHost,
};

/// A model on its way out of the store. Freeing it ends that.
#[wasm_bindgen]
pub struct WasmExport(ModelExport);

#[wasm_bindgen]
impl WasmExport {
    /// Bytes of the whole file.
    #[wasm_bindgen(getter, js_name = "totalBytes")]
    pub fn total_bytes(&self) -> f64 {
        self.0.total_bytes() as f64
    }

    /// The next bytes, checked; undefined at the end.
    #[wasm_bindgen(js_name = "next")]
    pub async fn step(&mut self) -> Result<Option<Uint8Array>, JsValue> {
        let bytes = self.0.next().await.map_err(|error| js_error(&error))?;
        Ok(bytes.map(|bytes| Uint8Array::from(bytes.as_slice())))
    }
}

/// Begins to write out a model by its id.
#[wasm_bindgen(js_name = "exportModel")]
pub async fn export_model(host: StoreHost, id: String, cancel: &CancelHandle) -> Result<WasmExport, JsValue> {
    store(host, &cancel.share()).export(&id).await.map(WasmExport).map_err(|error| js_error(&error))
}

/// Takes in what was written out: `eyas_store::Imported` as an object. `on_bytes` gets the bytes that are there.
#[wasm_bindgen(js_name = "importModel")]
pub async fn import_model(
    host: StoreHost,
    file: Blob,
    id: Option<String>,
    evictable: bool,
    #[wasm_bindgen(js_name = "onBytes")] on_bytes: Function,
    cancel: &CancelHandle,
) -> Result<JsValue, JsValue> {
    let report = |bytes: u64| {
        // An exception in the page's callback is the page's; the import goes on.
        let _ = on_bytes.call1(&JsValue::UNDEFINED, &JsValue::from(bytes as f64));
    };
    let archive = BlobReader::new("the exported model".into(), file);
    let imported = store(host, &cancel.share()).import(&archive, id.as_deref(), evictable, &report).await;
    js_value::write(&imported.map_err(|error| js_error(&error))?)
}
