//! An answer in the making, as JavaScript sees it.

use eyas_engine::Generation;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{js_error::js_error, js_value};

/// An answer that is computed step by step. Freeing it stops it; the session keeps what was computed.
#[wasm_bindgen]
pub struct WasmGeneration {
    generation: Generation,
}

impl WasmGeneration {
    pub(crate) fn new(generation: Generation) -> Self {
        Self { generation }
    }
}

#[wasm_bindgen]
impl WasmGeneration {
    /// One part of the prompt or one token: `eyas_core::Event` as an object; the last one is `{ type: "done", … }`.
    #[wasm_bindgen(js_name = "next")]
    pub async fn step(&mut self) -> Result<JsValue, JsValue> {
        let event = self.generation.next().await.map_err(|error| js_error(&error))?;
        js_value::write(&event)
    }
}
