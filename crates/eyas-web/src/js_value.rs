//! Plain data across the boundary.

use eyas_core::{Error, Result};
use js_sys::JSON;
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::JsValue;

use crate::js_error::{describe, js_error};

/// Reads a plain object. It goes through JSON, so that maps may have numbers as keys and unknown fields are named in the error.
pub(crate) fn read<T: DeserializeOwned>(value: &JsValue, what: &str) -> Result<T> {
    let bad = |detail: String| Error::bad_input(format!("{what}: {detail}"));
    if value.is_undefined() || value.is_null() {
        return serde_json::from_str("{}").map_err(|error| bad(error.to_string()));
    }
    let text = JSON::stringify(value).map_err(|error| bad(describe(&error)))?;
    let text = text.as_string().ok_or_else(|| bad("it is no plain object".into()))?;
    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
}

/// Writes plain data as JavaScript objects, arrays, strings and numbers.
pub(crate) fn write<T: Serialize>(value: &T) -> std::result::Result<JsValue, JsValue> {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| js_error(&Error::internal(format!("a result can't be written as JavaScript: {error}"))))
}
