//! The metadata of a GGUF file: named, typed values.

use std::collections::BTreeMap;

use eyas_core::{Error, Result};

use crate::{GgufArray, GgufValue};

/// What a GGUF file says of its model. Every getter answers `None` where the key is absent and fails with `bad-model` where its value
/// is of another type.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufMetadata {
    version: u32,
    values: BTreeMap<String, GgufValue>,
}

impl GgufMetadata {
    pub(crate) fn new(version: u32, values: BTreeMap<String, GgufValue>) -> Self {
        Self { version, values }
    }

    /// The version of the file's format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All keys in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// A value of any type.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.values.get(key)
    }

    /// A string.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| if let GgufValue::String(text) = value { Some(text.as_str()) } else { None })
    }

    /// A non-negative integer of any integer type.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a non-negative integer", |value| match value {
            GgufValue::U64(value) => Some(*value),
            value => signed(value).and_then(|value| u64::try_from(value).ok()),
        })
    }

    /// An integer of any integer type that fits.
    pub fn get_i64(&self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "a 64-bit integer", signed)
    }

    /// A float of either float type, rounded to `f32`.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |value| match value {
            GgufValue::F32(value) => Some(*value),
            GgufValue::F64(value) => Some(*value as f32),
            _ => None,
        })
    }

    /// A boolean.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a boolean", |value| if let GgufValue::Bool(value) = value { Some(*value) } else { None })
    }

    /// An array of any type.
    pub fn get_array(&self, key: &str) -> Result<Option<&GgufArray>> {
        self.typed(key, "an array", |value| if let GgufValue::Array(array) = value { Some(array) } else { None })
    }

    /// An array of strings.
    pub fn get_strings(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.typed(key, "an array of strings", |value| match value {
            GgufValue::Array(GgufArray::Strings(strings)) => Some(strings.iter().collect()),
            _ => None,
        })
    }

    /// An array of integers of any integer type that fit.
    pub fn get_i64s(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.typed(key, "an array of 64-bit integers", |value| match value {
            GgufValue::Array(GgufArray::U8(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::I8(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::U16(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::I16(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::U32(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::I32(array)) => Some(array.iter().copied().map(i64::from).collect()),
            GgufValue::Array(GgufArray::I64(array)) => Some(array.clone()),
            GgufValue::Array(GgufArray::U64(array)) => array.iter().map(|&value| i64::try_from(value).ok()).collect(),
            _ => None,
        })
    }

    /// An array of floats of either float type, rounded to `f32`.
    pub fn get_f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.typed(key, "an array of floats", |value| match value {
            GgufValue::Array(GgufArray::F32(array)) => Some(array.clone()),
            GgufValue::Array(GgufArray::F64(array)) => Some(array.iter().map(|&value| value as f32).collect()),
            _ => None,
        })
    }

    fn typed<'a, T>(&'a self, key: &str, expected: &str, convert: impl FnOnce(&'a GgufValue) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        if let Some(converted) = convert(value) {
            return Ok(Some(converted));
        }
        let found = match signed(value) {
            Some(number) => format!("{} of {number}", value.type_name()),
            None => value.type_name().to_owned(),
        };
        Err(Error::bad_model(format!("GGUF metadata {key:?}: expected {expected}, found {found}; convert the model again")))
    }
}

fn signed(value: &GgufValue) -> Option<i64> {
    match value {
        GgufValue::U8(value) => Some(i64::from(*value)),
        GgufValue::I8(value) => Some(i64::from(*value)),
        GgufValue::U16(value) => Some(i64::from(*value)),
        GgufValue::I16(value) => Some(i64::from(*value)),
        GgufValue::U32(value) => Some(i64::from(*value)),
        GgufValue::I32(value) => Some(i64::from(*value)),
        GgufValue::I64(value) => Some(*value),
        GgufValue::U64(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_names_key_expected_and_found() {
        let values = [("n", GgufValue::I32(-3)), ("m", GgufValue::U16(7)), ("s", GgufValue::String("x".to_owned()))];
        let metadata = GgufMetadata::new(3, values.map(|(key, value)| (key.to_owned(), value)).into());
        assert_eq!(metadata.get_u64("m").unwrap(), Some(7));
        assert_eq!(metadata.get_i64("n").unwrap(), Some(-3));
        assert_eq!(metadata.get_u64("absent").unwrap(), None);
        assert_eq!(metadata.get_str("s").unwrap(), Some("x"));
        let error = metadata.get_u64("n").unwrap_err();
        assert!(error.detail().contains(r#""n": expected a non-negative integer, found an i32 of -3"#), "{error}");
        assert!(metadata.get_f32("s").unwrap_err().detail().contains("found a string"));
        assert!(metadata.get_strings("s").is_err() && metadata.get_array("s").is_err() && metadata.get_bool("s").is_err());
    }

    #[test]
    fn arrays_of_any_integer_type_convert() {
        let values = [
            ("u", GgufValue::Array(GgufArray::U32(vec![1, u32::MAX]))),
            ("big", GgufValue::Array(GgufArray::U64(vec![u64::MAX]))),
            ("f", GgufValue::Array(GgufArray::F64(vec![0.5]))),
        ];
        let metadata = GgufMetadata::new(3, values.map(|(key, value)| (key.to_owned(), value)).into());
        assert_eq!(metadata.get_i64s("u").unwrap(), Some(vec![1, 4_294_967_295]));
        assert!(metadata.get_i64s("big").is_err());
        assert_eq!(metadata.get_f32s("f").unwrap(), Some(vec![0.5]));
    }
}
