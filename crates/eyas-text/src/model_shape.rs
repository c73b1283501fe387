//! The lengths and ids of a `tokenizer.json` model, read without keeping its vocabulary.

use std::fmt;

use eyas_core::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// What has to fit together in a model.
#[derive(Deserialize)]
pub(crate) struct ModelShape {
    #[serde(default)]
    vocab: VocabShape,
    #[serde(default)]
    merges: MergesShape,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl ModelShape {
    /// Fails where the `tokenizers` crate would index out of bounds.
    pub(crate) fn check(&self) -> Result<()> {
        if self.merges.longest > self.vocab.longest {
            return Err(Error::bad_model("tokenizer.json has a merge that is longer than every token"));
        }
        let has_prefix = self.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty());
        if has_prefix && self.merges.longest > 0 {
            return Err(Error::unsupported(
                "tokenizer.json has a BPE model with a continuing_subword_prefix, which is not supported",
            ));
        }
        match self.kind.as_deref() {
            None | Some("BPE" | "Unigram" | "WordPiece" | "WordLevel") => Ok(()),
            Some(kind) => Err(Error::unsupported(format!("tokenizer.json has a model of type {kind:?}, which is not supported"))),
        }
    }

    /// The highest id of the vocabulary.
    pub(crate) fn highest_id(&self) -> u64 {
        self.vocab.highest_id
    }
}

/// The longest token in bytes and the highest id; a map of ids or a list of tokens with scores.
#[derive(Default)]
struct VocabShape {
    longest: usize,
    highest_id: u64,
}

impl<'de> Deserialize<'de> for VocabShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = VocabShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<VocabShape, A::Error> {
                let mut shape = VocabShape::default();
                while let Some((Length(token), id)) = map.next_entry::<Length, u64>()? {
                    shape.longest = shape.longest.max(token);
                    shape.highest_id = shape.highest_id.max(id);
                }
                Ok(shape)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<VocabShape, A::Error> {
                let mut shape = VocabShape::default();
                let mut count: u64 = 0;
                while let Some((Length(token), _)) = list.next_element::<(Length, f64)>()? {
                    shape.longest = shape.longest.max(token);
                    count += 1;
                }
                shape.highest_id = count.saturating_sub(1);
                Ok(shape)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// The longest merge in bytes, both halves together.
#[derive(Default)]
struct MergesShape {
    longest: usize,
}

impl<'de> Deserialize<'de> for MergesShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = MergesShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<MergesShape, A::Error> {
                let mut longest = 0;
                while let Some(Merge(length)) = list.next_element()? {
                    longest = longest.max(length);
                }
                Ok(MergesShape { longest })
            }

            fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<MergesShape, E> {
                Ok(MergesShape::default())
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// The length of one merge: `"a b"` or `["a", "b"]`.
struct Merge(usize);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge")
            }

            fn visit_str<E: serde::de::Error>(self, merge: &str) -> std::result::Result<Merge, E> {
                Ok(Merge(merge.len().saturating_sub(1)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> std::result::Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge needs two tokens");
                let Length(left) = pair.next_element()?.ok_or_else(missing)?;
                let Length(right) = pair.next_element()?.ok_or_else(missing)?;
                if pair.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("a merge has two tokens only"));
                }
                Ok(Merge(left + right))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// The length of a string in bytes.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token")
            }

            fn visit_str<E: serde::de::Error>(self, token: &str) -> std::result::Result<Length, E> {
                Ok(Length(token.len()))
            }
        }
        deserializer.deserialize_str(Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(json: &str) -> ModelShape {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn merges_of_both_forms_are_measured() {
        assert!(shape(r#"{"type":"BPE","vocab":{"a":0,"b":7,"ab":1},"merges":["a b"]}"#).check().is_ok());
        assert_eq!(shape(r#"{"vocab":{"a":0,"b":7}}"#).highest_id(), 7);
        assert_eq!(shape(r#"{"type":"Unigram","vocab":[["a",0.5],["b",1]]}"#).highest_id(), 1);
        let error = shape(r#"{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a","b"]]}"#).check().unwrap_err();
        assert_eq!(error.code(), "bad-model");
    }
}
