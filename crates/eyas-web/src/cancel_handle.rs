//! The caller's means to stop a load.

use eyas_core::CancelToken;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::{AbortController, AbortSignal};

/// Stops a load at its next await, and its network requests at once.
#[wasm_bindgen]
pub struct CancelHandle {
    token: CancelToken,
    controller: AbortController,
}

#[wasm_bindgen]
impl CancelHandle {
    /// A handle that was not used yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<CancelHandle, JsValue> {
        Ok(Self { token: CancelToken::new(), controller: AbortController::new()? })
    }

    /// Stops every load that was given this handle.
    pub fn cancel(&self) {
        self.token.cancel();
        self.controller.abort();
    }
}

/// What readers need of a [`CancelHandle`].
#[derive(Clone)]
pub(crate) struct Cancel {
    pub(crate) token: CancelToken,
    pub(crate) signal: AbortSignal,
}

impl CancelHandle {
    pub(crate) fn share(&self) -> Cancel {
        Cancel { token: self.token.clone(), signal: self.controller.signal() }
    }
}
