//! The model in a `tokenizer.json`: its vocabulary, its merges, its options.

use std::fmt;

use eyas_core::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tokenizers::{
    ModelWrapper,
    models::{
        bpe::{BPE, Vocab},
        unigram::Unigram,
        wordlevel::WordLevel,
        wordpiece::WordPiece,
    },
};

/// A model as the file writes it. What a kind does not use is ignored.
#[derive(Deserialize)]
pub(crate) struct ModelFile {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    vocab: VocabFile,
    #[serde(default)]
    merges: Merges,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<usize>,
    #[serde(default)]
    dropout: Option<f32>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    fuse_unk: Option<bool>,
    #[serde(default)]
    byte_fallback: Option<bool>,
    #[serde(default)]
    ignore_merges: Option<bool>,
}

impl ModelFile {
    /// The highest id of the vocabulary.
    pub(crate) fn highest_id(&self) -> u64 {
        match &self.vocab {
            VocabFile::Ids(tokens) => tokens.iter().map(|(_, id)| *id).max().unwrap_or(0),
            VocabFile::Scores(tokens) => tokens.len().saturating_sub(1) as u64,
        }
    }

    /// Makes the model of the `tokenizers` crate. All ids must fit into 32 bits.
    pub(crate) fn build(self) -> Result<ModelWrapper> {
        let kind = match &self.kind {
            Some(kind) => kind.as_str(),
            // Old files have no type; what they hold tells them apart.
            None if self.merges.0.is_some() => "BPE",
            None if matches!(self.vocab, VocabFile::Scores(_)) => "Unigram",
            None if self.max_input_chars_per_word.is_some() => "WordPiece",
            None => "WordLevel",
        };
        let model = match kind {
            "BPE" => self.bpe()?.into(),
            "Unigram" => match self.vocab {
                VocabFile::Scores(tokens) => Unigram::from(tokens, self.unk_id, self.byte_fallback.unwrap_or(false))
                    .map_err(|error| refused(&error))?
                    .into(),
                VocabFile::Ids(_) => return Err(bad("is of type Unigram, but has no scores")),
            },
            "WordPiece" => {
                let missing = || bad("is of type WordPiece, but lacks an option");
                WordPiece::builder()
                    .unk_token(self.unk_token.ok_or_else(missing)?)
                    .continuing_subword_prefix(self.continuing_subword_prefix.ok_or_else(missing)?)
                    .max_input_chars_per_word(self.max_input_chars_per_word.ok_or_else(missing)?)
                    .vocab(self.vocab.ids()?)
                    .build()
                    .map_err(|error| refused(&error))?
                    .into()
            }
            "WordLevel" => WordLevel::builder()
                .unk_token(self.unk_token.ok_or_else(|| bad("is of type WordLevel, but lacks an unk_token"))?)
                .vocab(self.vocab.ids()?)
                .build()
                .map_err(|error| refused(&error))?
                .into(),
            _ => {
                return Err(Error::unsupported(format!("tokenizer.json has a model of type {kind:?}, which is not supported")));
            }
        };
        Ok(model)
    }

    fn bpe(self) -> Result<BPE> {
        let merges = self.merges.0.ok_or_else(|| bad("is of type BPE, but has no merges"))?;
        // The `tokenizers` crate cuts the prefix off without looking, and a merge beyond the longest token ends in a panic.
        if self.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()) && !merges.is_empty() {
            return Err(Error::unsupported(
                "tokenizer.json has a BPE model with a continuing_subword_prefix, which is not supported",
            ));
        }
        let vocab = self.vocab.ids()?;
        let longest = vocab.keys().map(String::len).max().unwrap_or(0);
        if merges.iter().any(|(left, right)| left.len() + right.len() > longest) {
            return Err(bad("has a merge that is longer than every token"));
        }
        let mut builder = BPE::builder().vocab_and_merges(vocab, merges);
        if let Some(dropout) = self.dropout {
            builder = builder.dropout(dropout);
        }
        if let Some(token) = self.unk_token {
            builder = builder.unk_token(token);
        }
        if let Some(prefix) = self.continuing_subword_prefix {
            builder = builder.continuing_subword_prefix(prefix);
        }
        if let Some(suffix) = self.end_of_word_suffix {
            builder = builder.end_of_word_suffix(suffix);
        }
        builder
            .fuse_unk(self.fuse_unk.unwrap_or(false))
            .byte_fallback(self.byte_fallback.unwrap_or(false))
            .ignore_merges(self.ignore_merges.unwrap_or(false))
            .build()
            .map_err(|error| refused(&error))
    }
}

fn bad(what: &str) -> Error {
    Error::bad_model(format!("tokenizer.json has a model that {what}"))
}

fn refused(error: &dyn fmt::Display) -> Error {
    Error::bad_model(format!("tokenizer.json has a model that was not accepted: {error}"))
}

/// A map of tokens to ids, or a list of tokens with scores.
enum VocabFile {
    Ids(Vec<(String, u64)>),
    Scores(Vec<(String, f64)>),
}

impl VocabFile {
    fn ids(self) -> Result<Vocab> {
        match self {
            Self::Ids(tokens) => Ok(tokens.into_iter().map(|(token, id)| (token, id as u32)).collect()),
            Self::Scores(_) => Err(bad("has scores, but needs ids")),
        }
    }
}

impl<'de> Deserialize<'de> for VocabFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = VocabFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<VocabFile, A::Error> {
                let mut tokens = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    tokens.push(entry);
                }
                Ok(VocabFile::Ids(tokens))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<VocabFile, A::Error> {
                let mut tokens = Vec::new();
                while let Some(entry) = list.next_element()? {
                    tokens.push(entry);
                }
                Ok(VocabFile::Scores(tokens))
            }
        }
        deserializer.deserialize_any(Tokens)
    }
}

/// Pairs to be merged, the most urgent first; none where the file has no list.
#[derive(Default)]
struct Merges(Option<Vec<(String, String)>>);

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let list: Option<Vec<Merge>> = Option::deserialize(deserializer)?;
        Ok(Self(list.map(|list| list.into_iter().filter_map(|merge| merge.0).collect())))
    }
}

/// One merge, `"a b"` or `["a", "b"]`; none for the version line that old files begin with.
struct Merge(Option<(String, String)>);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge")
            }

            fn visit_str<E: serde::de::Error>(self, merge: &str) -> std::result::Result<Merge, E> {
                if merge.starts_with("#version") {
                    return Ok(Merge(None));
                }
                match merge.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => Ok(Merge(Some((left.to_owned(), right.to_owned())))),
                    _ => Err(E::custom("a merge needs two tokens")),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> std::result::Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge needs two tokens");
                let left = pair.next_element()?.ok_or_else(missing)?;
                let right = pair.next_element()?.ok_or_else(missing)?;
                if pair.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("a merge has two tokens only"));
                }
                Ok(Merge(Some((left, right))))
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> ModelFile {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn merges_of_both_forms_are_read() {
        let merges = |json: &str| serde_json::from_str::<Merges>(json).map(|merges| merges.0);
        let pair = Some(vec![("a".to_owned(), "b".to_owned())]);
        assert_eq!(merges(r##"["#version: 0.2", "a b"]"##).unwrap(), pair);
        assert_eq!(merges(r#"[["a", "b"]]"#).unwrap(), pair);
        assert_eq!(merges("null").unwrap(), None);
        for json in [r#"["ab"]"#, r#"["a b c"]"#, r#"[["a"]]"#, r#"[["a", "b", "c"]]"#] {
            assert!(merges(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_model_without_a_type_is_known_by_what_it_holds() {
        let kind = |json: &str| match file(json).build().unwrap() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "Unigram",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
        };
        assert_eq!(kind(r#"{"vocab":{"a":0,"b":7,"ab":1},"merges":["a b"]}"#), "BPE");
        assert_eq!(kind(r#"{"vocab":[["a",0.5],["b",1]],"unk_id":0}"#), "Unigram");
        let word_piece = r###"{"vocab":{"a":0},"unk_token":"a","continuing_subword_prefix":"##","max_input_chars_per_word":9}"###;
        assert_eq!(kind(word_piece), "WordPiece");
        assert_eq!(kind(r#"{"vocab":{"a":0},"unk_token":"a"}"#), "WordLevel");
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(file(r#"{"vocab":{"a":0,"b":7}}"#).highest_id(), 7);
        assert_eq!(file(r#"{"type":"Unigram","vocab":[["a",0.5],["b",1]]}"#).highest_id(), 1);
        for json in [
            r#"{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a","b"]]}"#,
            r#"{"type":"BPE","vocab":{"a":0,"b":1}}"#,
            r#"{"type":"Unigram","vocab":{"a":0}}"#,
            r#"{"type":"WordPiece","vocab":{"a":0},"unk_token":"a"}"#,
            r#"{"type":"WordLevel","vocab":[["a",0]],"unk_token":"a"}"#,
        ] {
            assert_eq!(file(json).build().unwrap_err().code(), "bad-model", "{json}");
        }
    }
}
