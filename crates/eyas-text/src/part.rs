//! One part of a `tokenizer.json` (a normalizer, a pre-tokenizer, a post-processor) and its fields.

use eyas_core::{Error, Result};
use serde_json::Value;

/// A part with a type.
#[derive(Clone, Copy)]
pub(crate) struct Part<'v> {
    /// What it is for.
    pub(crate) role: &'static str,
    /// Which of its kind it is.
    pub(crate) kind: &'v str,
    value: &'v Value,
}

impl<'v> Part<'v> {
    /// The part that is written in `value`.
    pub(crate) fn new(role: &'static str, value: &'v Value) -> Result<Self> {
        let kind = value.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| Error::bad_model(format!("tokenizer.json has a {role} without a type")))?;
        Ok(Self { role, kind, value })
    }

    /// Says that this part is not known.
    pub(crate) fn unsupported(&self) -> Error {
        Error::unsupported(format!("tokenizer.json has a {} of type {:?}, which is not supported", self.role, self.kind))
    }

    /// Says that a field is missing or of the wrong kind.
    pub(crate) fn bad(&self, key: &str) -> Error {
        Error::bad_model(format!(
            "tokenizer.json has a {} of type {:?} whose field {key:?} is missing or impossible",
            self.role, self.kind
        ))
    }

    /// Says that the `tokenizers` crate did not accept this part.
    pub(crate) fn refused(&self, error: tokenizers::Error) -> Error {
        Error::bad_model(format!("tokenizer.json has a {} of type {:?} that was not accepted", self.role, self.kind))
            .with_source(error)
    }

    /// A field, `None` where it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<&'v Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(&self, key: &str) -> Result<bool> {
        self.optional_flag(key)?.ok_or_else(|| self.bad(key))
    }

    pub(crate) fn optional_flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|value| value.as_bool().ok_or_else(|| self.bad(key))).transpose()
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'v str> {
        self.get(key).and_then(Value::as_str).ok_or_else(|| self.bad(key))
    }

    /// A field that is one character.
    pub(crate) fn character(&self, key: &str) -> Result<char> {
        let mut characters = self.text(key)?.chars();
        characters.next().filter(|_| characters.next().is_none()).ok_or_else(|| self.bad(key))
    }

    /// A field that is a list.
    pub(crate) fn list(&self, key: &str) -> Result<&'v [Value]> {
        Ok(self.get(key).and_then(Value::as_array).ok_or_else(|| self.bad(key))?.as_slice())
    }

    /// The parts of a sequence.
    pub(crate) fn parts(&self, key: &str) -> Result<Vec<Part<'v>>> {
        self.list(key)?.iter().map(|value| Part::new(self.role, value)).collect()
    }

    /// The field `pattern`: a text and whether it is a regular expression.
    pub(crate) fn pattern(&self) -> Result<(String, bool)> {
        let of = |key: &str| Some(self.get("pattern")?.get(key)?.as_str()?.to_owned());
        of("Regex").map(|text| (text, true)).or_else(|| of("String").map(|text| (text, false))).ok_or_else(|| self.bad("pattern"))
    }
}
