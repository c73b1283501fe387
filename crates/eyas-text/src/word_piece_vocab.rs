//! WordPiece vocabularies of GGUF files (kind `bert`).
//!
//! Where BERT marks tokens that continue a word (`##ing`), these files mark those that begin one (`▁the`), and leave tokens in brackets as they
//! are. Splitting and matching are those of BERT: Devlin et al., 2018 (arXiv 1810.04805), as the `tokenizers` crate has them.

use eyas_core::{Error, Result};
use tokenizers::{
    AddedToken, models::wordpiece::WordPiece, normalizers::bert::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

use crate::{
    encoder::Encoder,
    gguf_vocab::{GgufParts, GgufVocab},
    joining::Joining,
    library::Library,
    pair_frame::PairFrame,
    sentence_piece::SPACE,
    token_table::TokenTable,
};

/// What marks a token that continues a word.
const CONTINUES: &str = "##";
/// Pre-tokenizers that split as BERT does; a file need not name one.
const KNOWN: [&str; 3] = ["default", "bert-bge", "jina-v2-en"];

impl GgufVocab {
    /// Builds the tokenizer of a vocabulary in lower case; one with upper case is refused, as its file does not say what else it keeps.
    pub(crate) fn build_word_piece(self) -> Result<GgufParts> {
        if let Some(pre) = self.pre.as_deref().filter(|pre| !KNOWN.contains(pre)) {
            return Err(Error::unsupported(format!(
                "the GGUF vocabulary of kind \"bert\" names the pre-tokenizer {pre:?}, which is not known; use the model's tokenizer.json"
            )));
        }
        let mut table = TokenTable::new(self.tokens.len(), Joining::WordPiece { prefix: CONTINUES.to_owned(), cleanup: true });
        let mut vocab = tokenizers::models::bpe::Vocab::default();
        let mut added = Vec::new();
        for (index, token) in self.tokens.iter().enumerate() {
            let is_special = self.is_special(index);
            let is_bracketed = token.len() > 2 && token.starts_with('[') && token.ends_with(']');
            let text = match token.strip_prefix(SPACE) {
                _ if is_special || is_bracketed => token.clone(),
                Some(word) => word.to_owned(),
                None => format!("{CONTINUES}{token}"),
            };
            if !is_special && !is_bracketed && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(Error::unsupported(format!(
                    "the GGUF vocabulary of kind \"bert\" has upper case ({token:?}), for which it does not say how texts are prepared; use \
                     the model's tokenizer.json"
                )));
            }
            table.push(text.as_bytes(), is_special)?;
            if is_special {
                added.push(AddedToken::from(text.clone(), true).normalized(false));
            }
            if vocab.insert(text, index as u32).is_some() {
                return Err(Error::bad_model(format!("the GGUF vocabulary holds the token {token:?} twice")));
            }
        }
        let unknown = self.unk_id.and_then(|id| self.tokens.get(id as usize)).cloned().unwrap_or_else(|| "[UNK]".to_owned());
        if !vocab.contains_key(&unknown) {
            return Err(Error::bad_model(format!("the GGUF vocabulary of kind \"bert\" has no token {unknown:?}")));
        }
        let bad = |error: tokenizers::Error| Error::bad_model("the GGUF vocabulary was not accepted").with_source(error);
        let word_piece = WordPiece::builder()
            .vocab(vocab)
            .unk_token(unknown)
            .continuing_subword_prefix(CONTINUES.to_owned())
            .build()
            .map_err(bad)?;
        let normalizer = BertNormalizer::new(true, true, None, true);
        let library = Library::new(word_piece.into(), Some(normalizer.into()), Some(BertPreTokenizer.into()), added)?;
        Ok(GgufParts {
            encoder: Encoder::library(library),
            table,
            add_bos: self.add_bos.unwrap_or(true),
            add_eos: self.add_eos.unwrap_or(true),
            pair_frame: self.bos_id.zip(self.eos_id).map(|(cls, sep)| PairFrame::bert(cls, sep)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab(tokens: &[&str]) -> GgufVocab {
        GgufVocab {
            model: "bert".into(),
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
            token_types: Some(tokens.iter().map(|token| if token.starts_with('[') { 3 } else { 1 }).collect()),
            unk_id: Some(0),
            ..GgufVocab::default()
        }
    }

    #[test]
    fn words_and_their_continuations() {
        let parts = vocab(&["[UNK]", "▁un", "aff", "able", "▁!"]).build().unwrap();
        assert_eq!(parts.encoder.encode("Unaffable!", false).unwrap(), [1, 2, 3, 4]);
        assert_eq!(parts.encoder.encode("able", false).unwrap(), [0]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let pre = GgufVocab { pre: Some("quux".into()), ..vocab(&["[UNK]"]) };
        for (vocab, code) in [
            (pre, "unsupported-model"),
            (vocab(&["[UNK]", "▁Paris"]), "unsupported-model"),
            (vocab(&["[UNK]", "▁a", "▁a"]), "bad-model"),
            (GgufVocab { unk_id: None, ..vocab(&["▁a"]) }, "bad-model"),
        ] {
            assert_eq!(vocab.build().err().unwrap().code(), code);
        }
    }
}
