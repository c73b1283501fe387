//! A vocabulary as a GGUF file states it.

use std::collections::HashMap;

use eyas_core::{Error, Result};
use tokenizers::{AddedToken, models::bpe::BPE, normalizers::NFC};

use crate::{
    byte_level,
    encoder::Encoder,
    joining::Joining,
    library::Library,
    pair_frame::PairFrame,
    pre_tokenizer::{PreTokenizer, TextFrame},
    sentence_piece::{SPACE, SentencePiece},
    special_tokens::SpecialTokens,
    token_table::TokenTable,
};

/// Token types of GGUF files that matter here.
pub(crate) const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
pub(crate) const UNUSED: i32 = 5;
pub(crate) const BYTE: i32 = 6;

/// What a GGUF file says about its vocabulary; the keys stand behind `tokenizer.ggml.`.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab {
    /// `model`: the kind, "llama" (SentencePiece BPE), "gpt2" (byte-level BPE), "bert" (WordPiece) or "t5" (Unigram).
    pub model: String,
    /// `pre`: the name of the pre-tokenizer; needed for "gpt2".
    pub pre: Option<String>,
    /// `tokens`: the token of each id.
    pub tokens: Vec<String>,
    /// `scores`: the score of each id; needed for "llama" and "t5".
    pub scores: Option<Vec<f32>>,
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Option<Vec<i32>>,
    /// `merges`: pairs of tokens ([`merge_pair`]), best first; needed for "gpt2".
    pub merges: Option<Vec<(String, String)>>,
    /// `bos_token_id`; of an encoder's vocabulary `cls_token_id`.
    pub bos_id: Option<u32>,
    /// `eos_token_id`; of an encoder's vocabulary `seperator_token_id` (so spelled).
    pub eos_id: Option<u32>,
    /// `unknown_token_id`.
    pub unk_id: Option<u32>,
    /// `add_bos_token`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`; not supported where true in a vocabulary of kind "llama".
    pub remove_extra_whitespaces: Option<bool>,
    /// `precompiled_charsmap`: SentencePiece's compiled normalisation, for "t5".
    pub charsmap: Option<Vec<u8>>,
}

/// What a vocabulary becomes: an encoder, a table, and whether BOS and EOS are added.
pub(crate) struct GgufParts {
    pub(crate) encoder: Encoder,
    pub(crate) table: TokenTable,
    pub(crate) add_bos: bool,
    pub(crate) add_eos: bool,
    /// The form of a pair of texts, which an encoder's vocabulary has.
    pub(crate) pair_frame: Option<PairFrame>,
}

impl GgufVocab {
    pub(crate) fn build(self) -> Result<GgufParts> {
        let count = self.tokens.len();
        if count == 0 {
            return Err(Error::bad_model("the GGUF vocabulary has no tokens"));
        }
        let lengths = [("scores", self.scores.as_ref().map(Vec::len)), ("token_type", self.token_types.as_ref().map(Vec::len))];
        for (name, length) in lengths {
            if length.is_some_and(|length| length != count) {
                return Err(Error::bad_model(format!(
                    "the GGUF vocabulary has {count} tokens, but {} entries in {name}",
                    length.unwrap_or(0)
                )));
            }
        }
        for (name, id) in [("bos", self.bos_id), ("eos", self.eos_id), ("unknown", self.unk_id)] {
            if let Some(id) = id.filter(|&id| id as usize >= count) {
                return Err(Error::bad_model(format!("the GGUF vocabulary has {count} tokens, but {name}_token_id is {id}")));
            }
        }
        match self.model.as_str() {
            "llama" => self.build_sentence_piece(),
            "gpt2" => self.build_byte_level(),
            "bert" => self.build_word_piece(),
            "t5" => self.build_unigram(),
            model => Err(Error::unsupported(format!(
                "the GGUF vocabulary is of the kind {model:?}; expected \"llama\", \"gpt2\", \"bert\" or \"t5\"; use the model's tokenizer.json"
            ))),
        }
    }

    pub(crate) fn token_type(&self, index: usize) -> i32 {
        self.token_types.as_ref().and_then(|types| types.get(index)).copied().unwrap_or(1)
    }

    /// Whether the converter filled this id up, since the model has more logits than its tokenizer has tokens.
    fn is_padding(&self, index: usize) -> bool {
        self.token_type(index) == UNUSED && self.tokens[index] == format!("[PAD{index}]")
    }

    pub(crate) fn is_special(&self, index: usize) -> bool {
        matches!(self.token_type(index), UNKNOWN | CONTROL)
    }

    fn build_sentence_piece(self) -> Result<GgufParts> {
        if self.remove_extra_whitespaces == Some(true) {
            return Err(Error::unsupported(
                "the GGUF vocabulary of kind \"llama\" sets remove_extra_whitespaces, which is not supported",
            ));
        }
        let scores =
            self.scores.as_ref().ok_or_else(|| Error::bad_model("the GGUF vocabulary of kind \"llama\" has no scores"))?;
        let add_space_prefix = self.add_space_prefix.unwrap_or(true);
        let joining = if add_space_prefix { Joining::StripStart(1) } else { Joining::Plain };
        let mut table = TokenTable::new(self.tokens.len(), joining);
        let mut ids = HashMap::with_capacity(self.tokens.len());
        let mut special = SpecialTokens::default();
        let mut byte_ids = vec![None; 256];
        let mut merge_scores = Vec::with_capacity(self.tokens.len());
        for (index, token) in self.tokens.iter().enumerate() {
            let id = index as u32;
            let kind = self.token_type(index);
            ids.entry(token.clone()).or_insert(id);
            let byte = (kind == BYTE).then(|| fallback_byte(token)).flatten();
            if let Some(byte) = byte {
                byte_ids[byte as usize] = Some(id);
                table.push(&[byte], false)?;
            } else if self.is_padding(index) {
                table.push(b"", false)?;
            } else {
                table.push(token.replace(SPACE, " ").as_bytes(), self.is_special(index))?;
            }
            if matches!(kind, UNKNOWN | CONTROL | USER_DEFINED) {
                special.add(token, id, kind != USER_DEFINED);
            }
            merge_scores.push((!matches!(kind, UNKNOWN | CONTROL | UNUSED | BYTE)).then_some(scores[index]));
        }
        special.sort();
        let encoder = SentencePiece { ids, scores: merge_scores, byte_ids, unk_id: self.unk_id, add_space_prefix, special };
        Ok(GgufParts {
            encoder: Encoder::SentencePiece(Box::new(encoder)),
            table,
            add_bos: self.add_bos.unwrap_or(true),
            add_eos: self.add_eos.unwrap_or(false),
            pair_frame: None,
        })
    }

    fn build_byte_level(mut self) -> Result<GgufParts> {
        let pre = self.pre.as_deref().ok_or_else(|| {
            Error::unsupported(
                "the GGUF vocabulary of kind \"gpt2\" does not name its pre-tokenizer; use the model's tokenizer.json",
            )
        })?;
        let pre_tokenizer = PreTokenizer::named(pre)?;
        let merges = self.merges.take().ok_or_else(|| Error::bad_model("the GGUF vocabulary of kind \"gpt2\" has no merges"))?;
        let count = self.tokens.len();
        let mut table = TokenTable::new(count, Joining::Plain);
        let mut added = Vec::new();
        let (mut bytes, mut longest) = (Vec::new(), 0);
        for (index, token) in self.tokens.iter().enumerate() {
            longest = longest.max(token.len());
            // A control or user-defined token stands there as it is written, not in the byte-level alphabet.
            if matches!(self.token_type(index), CONTROL | USER_DEFINED | UNKNOWN) {
                let is_special = self.is_special(index);
                table.push(token.as_bytes(), is_special)?;
                // What a normalizer makes of a text may be such a token, but no special one.
                let is_normalized = pre_tokenizer.composes && !is_special;
                added.push(AddedToken::from(token.clone(), is_special).normalized(is_normalized));
            } else if self.is_padding(index) {
                table.push(b"", false)?;
            } else {
                table.push(byte_level::token_bytes(token, &mut bytes), false)?;
            }
        }
        let vocab: tokenizers::models::bpe::Vocab =
            self.tokens.into_iter().enumerate().map(|(index, token)| (token, index as u32)).collect();
        if vocab.len() != count {
            return Err(Error::bad_model("the GGUF vocabulary holds a token twice"));
        }
        // The `tokenizers` crate looks up every merge's parts and what they become, but a merge beyond the longest token makes it panic.
        if let Some((left, right)) = merges.iter().find(|(left, right)| left.len() + right.len() > longest) {
            return Err(Error::bad_model(format!(
                "the GGUF vocabulary has a merge of {left:?} and {right:?}, longer than every token"
            )));
        }
        let bad = |error: tokenizers::Error| {
            Error::bad_model(format!("the GGUF vocabulary was not accepted: {error}")).with_source(error)
        };
        let bpe =
            BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre_tokenizer.ignore_merges).build().map_err(bad)?;
        let normalizer = pre_tokenizer.composes.then(|| NFC.into());
        let library = Library::new(bpe.into(), normalizer, Some(pre_tokenizer.build()?), added)?;
        let of_encoder = self.bos_id.zip(self.eos_id).filter(|_| pre_tokenizer.frames != TextFrame::Decoder);
        let pair_frame = of_encoder.map(|(cls, sep)| match pre_tokenizer.frames {
            TextFrame::Roberta => PairFrame::roberta(cls, sep),
            _ => PairFrame::bert(cls, sep),
        });
        // ModernBERT's converter may say that nothing ends a text, since its tokenizer calls that a separator.
        let is_modern = pre_tokenizer.frames == TextFrame::ModernBert;
        Ok(GgufParts {
            encoder: Encoder::library(library),
            table,
            add_bos: is_modern || self.add_bos.unwrap_or(pre_tokenizer.add_bos),
            add_eos: is_modern || self.add_eos.unwrap_or(pre_tokenizer.frames == TextFrame::Roberta),
            pair_frame,
        })
    }
}

/// The byte of a token like `<0x0A>`.
pub(crate) fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The two tokens of a merge as a GGUF file writes it, with a space between. Fails with `bad-model` where there is none.
pub fn merge_pair(merge: &str) -> Result<(String, String)> {
    let (left, right) = merge.split_once(' ').ok_or_else(|| {
        Error::bad_model(format!("the GGUF vocabulary's merge {merge:?} is not a pair; convert the model again"))
    })?;
    Ok((left.to_owned(), right.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn merges(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| merge_pair(text).unwrap()).collect()
    }

    #[test]
    fn a_merge_is_split_at_its_first_space() {
        assert_eq!(merge_pair("a b").unwrap(), ("a".to_owned(), "b".to_owned()));
        assert_eq!(merge_pair("a  b").unwrap(), ("a".to_owned(), " b".to_owned()));
        assert_eq!(merge_pair(" ").unwrap(), (String::new(), String::new()));
        for merge in ["", "ab", "a\tb", "\u{a0}"] {
            assert_eq!(merge_pair(merge).unwrap_err().code(), "bad-model", "{merge:?}");
        }
    }

    #[test]
    fn fallback_bytes_are_read() {
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        assert_eq!(fallback_byte("<0xff>"), Some(255));
        assert_eq!(fallback_byte("<0x+1>"), None);
        assert_eq!(fallback_byte("<0x100>"), None);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let vocab = |model: &str, pre: Option<&str>| GgufVocab {
            model: model.into(),
            pre: pre.map(Into::into),
            tokens: strings(&["a"]),
            merges: Some(Vec::new()),
            ..GgufVocab::default()
        };
        for (vocab, name) in
            [(vocab("rwkv", None), "rwkv"), (vocab("gpt2", Some("quux")), "quux"), (vocab("gpt2", None), "pre-tokenizer")]
        {
            let error = vocab.build().err().unwrap();
            assert_eq!(error.code(), "unsupported-model");
            assert!(error.detail().contains(name), "{error}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let good = GgufVocab {
            model: "gpt2".into(),
            pre: Some("gpt-2".into()),
            tokens: strings(&["a", "b", "ab"]),
            merges: Some(merges(&["a b"])),
            ..GgufVocab::default()
        };
        assert!(good.clone().build().is_ok());
        let bad = [
            GgufVocab { tokens: Vec::new(), ..good.clone() },
            GgufVocab { tokens: strings(&["a", "b", "ab", "a"]), ..good.clone() },
            GgufVocab { merges: None, ..good.clone() },
            GgufVocab { merges: Some(merges(&["a c"])), ..good.clone() },
            GgufVocab { merges: Some(merges(&["c a"])), ..good.clone() },
            GgufVocab { merges: Some(merges(&["b a"])), ..good.clone() },
            GgufVocab { merges: Some(merges(&["ab ab"])), ..good.clone() },
            GgufVocab { eos_id: Some(3), ..good.clone() },
            GgufVocab { token_types: Some(vec![1]), ..good.clone() },
            GgufVocab { model: "llama".into(), ..good },
        ];
        for vocab in bad {
            assert_eq!(vocab.build().err().unwrap().code(), "bad-model");
        }
    }
}
