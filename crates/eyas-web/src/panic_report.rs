//! Carries a panic's message out of the module: with `panic = "abort"` a waiting promise would otherwise never hear of it.

use js_sys::{Function, Reflect, global};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(message: &str);
}

/// Runs once when the module is instantiated.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        error(&message);
        if let Ok(report) = Reflect::get(&global(), &JsValue::from_str("eyasPanic"))
            && let Some(report) = report.dyn_ref::<Function>()
        {
            let _ = report.call1(&JsValue::UNDEFINED, &JsValue::from_str(&message));
        }
    }));
}
