//! An Eyas error as a JavaScript `Error` with `code` and `retryable`.

use eyas_core::Error;
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// The error as JavaScript sees it: `message` is the detail, with the chain of causes.
pub(crate) fn js_error(error: &Error) -> JsValue {
    let mut message = error.detail().to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(" ({cause})"));
        source = cause.source();
    }
    let js: JsValue = js_sys::Error::new(&message).into();
    for (key, value) in [("code", JsValue::from_str(error.code())), ("retryable", JsValue::from_bool(error.kind().retryable()))] {
        // Setting a property of a fresh Error can't fail.
        let _ = Reflect::set(&js, &JsValue::from_str(key), &value);
    }
    js
}

/// What a rejected promise or a thrown value says.
pub(crate) fn describe(value: &JsValue) -> String {
    match Reflect::get(value, &JsValue::from_str("message")).ok().and_then(|message| message.as_string()) {
        Some(message) => message,
        None => value.as_string().unwrap_or_else(|| format!("{value:?}")),
    }
}
