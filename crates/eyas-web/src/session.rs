//! A conversation as JavaScript sees it.

use eyas_engine::{Request, Session};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{generation::WasmGeneration, js_error::js_error, js_value};

/// A conversation with its own KV cache.
#[wasm_bindgen]
pub struct WasmSession {
    session: Session,
}

impl WasmSession {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }
}

#[wasm_bindgen]
impl WasmSession {
    /// Begins an answer: `{ messages | prompt, options, templateVariables?, tools? }`. Everything that can be checked is checked here, before any work.
    pub fn start(&self, request: &JsValue) -> Result<WasmGeneration, JsValue> {
        let request: Request = js_value::read(request, "request").map_err(|error| js_error(&error))?;
        let generation = self.session.start(&request).map_err(|error| js_error(&error))?;
        Ok(WasmGeneration::new(generation))
    }

    /// A second session with the same past.
    pub async fn fork(&self) -> Result<WasmSession, JsValue> {
        let session = self.session.clone();
        Ok(Self { session: session.fork().await.map_err(|error| js_error(&error))? })
    }

    /// Tokens in the KV cache.
    #[wasm_bindgen(getter)]
    pub fn tokens(&self) -> usize {
        self.session.tokens()
    }
}
