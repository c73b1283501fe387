//! Unigram vocabularies of GGUF files (kind `t5`), as XLM-RoBERTa has them.
//!
//! A text is normalised by SentencePiece's compiled map, split at whitespace, and each word, with `▁` before it, becomes the pieces of the largest
//! total score (Kudo, 2018, arXiv 1804.10959), as the `tokenizers` crate has it.

use eyas_core::{Error, Result};
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper,
    models::unigram::Unigram,
    normalizers::Precompiled,
    pre_tokenizers::{
        metaspace::{Metaspace, PrependScheme},
        sequence::Sequence,
        whitespace::WhitespaceSplit,
    },
};

use crate::{
    charsmap,
    encoder::Encoder,
    gguf_vocab::{BYTE, GgufParts, GgufVocab, UNKNOWN, UNUSED},
    joining::Joining,
    library::Library,
    pair_frame::PairFrame,
    sentence_piece::SPACE,
    token_table::TokenTable,
};

impl GgufVocab {
    /// Builds the tokenizer of a vocabulary that puts a space before each text; others, and those that fall back to bytes, are refused.
    pub(crate) fn build_unigram(self) -> Result<GgufParts> {
        let unsupported =
            |what: &str| Error::unsupported(format!("the GGUF vocabulary of kind \"t5\" {what}; use the model's tokenizer.json"));
        if self.add_space_prefix == Some(false) {
            return Err(unsupported("puts no space before a text, which is not supported"));
        }
        let scores = self.scores.as_ref().ok_or_else(|| Error::bad_model("the GGUF vocabulary of kind \"t5\" has no scores"))?;
        let normalizer = self.charsmap.as_deref().map(normalizer).transpose()?;
        let mut table = TokenTable::new(self.tokens.len(), Joining::FirstWithoutSpaces);
        let (mut pieces, mut added) = (Vec::with_capacity(self.tokens.len()), Vec::new());
        for (index, token) in self.tokens.iter().enumerate() {
            let is_special = self.is_special(index);
            match self.token_type(index) {
                BYTE => return Err(unsupported(&format!("has tokens for bytes ({token:?}), which are not supported"))),
                UNUSED => {
                    // Nothing becomes such a token: a piece holds no space. Its low score would count as that of an unknown character.
                    pieces.push((format!(" {index}"), 0.0));
                    table.push(b"", false)?;
                }
                _ => {
                    pieces.push((token.clone(), f64::from(scores[index])));
                    table.push(token.replace(SPACE, " ").as_bytes(), is_special)?;
                }
            }
            if is_special {
                added.push(AddedToken::from(token.clone(), true).normalized(false));
            }
        }
        let of_type = || (0..self.tokens.len()).find(|index| self.token_type(*index) == UNKNOWN);
        let unknown = self.unk_id.map(|id| id as usize).or_else(of_type);
        let unknown = unknown.ok_or_else(|| Error::bad_model("the GGUF vocabulary of kind \"t5\" has no unknown token"))?;
        let bad = |error| Error::bad_model(format!("the GGUF vocabulary was not accepted: {error}"));
        let unigram = Unigram::from(pieces, Some(unknown), false).map_err(bad)?;
        let words: Vec<PreTokenizerWrapper> =
            vec![WhitespaceSplit.into(), Metaspace::new('▁', PrependScheme::Always, true).into()];
        let library = Library::new(unigram.into(), normalizer, Some(Sequence::new(words).into()), added)?;
        Ok(GgufParts {
            encoder: Encoder::library(library),
            table,
            add_bos: self.add_bos.unwrap_or(true),
            add_eos: self.add_eos.unwrap_or(true),
            pair_frame: self.bos_id.zip(self.eos_id).map(|(cls, sep)| PairFrame::roberta(cls, sep)),
        })
    }
}

fn normalizer(map: &[u8]) -> Result<NormalizerWrapper> {
    let bad = || Error::bad_model("the GGUF vocabulary's precompiled_charsmap is damaged; convert the model again");
    // Its reader indexes without looking, so the map is checked first.
    if !charsmap::is_sound_map(map) {
        return Err(bad());
    }
    Ok(Precompiled::from(map).map_err(|_| bad())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab() -> GgufVocab {
        let tokens = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "t", "he", "▁the▁", "[PAD9]"];
        let types = [3, 3, 3, 2, 1, 1, 1, 1, 1, 5];
        GgufVocab {
            model: "t5".into(),
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
            scores: Some(vec![0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -4.0, -4.5, -0.1, -10_000.0]),
            token_types: Some(types.to_vec()),
            bos_id: Some(0),
            eos_id: Some(2),
            unk_id: Some(3),
            ..GgufVocab::default()
        }
    }

    #[test]
    fn words_become_the_likeliest_pieces() {
        let parts = vocab().build().unwrap();
        assert_eq!(parts.encoder.encode("the  \n the", false).unwrap(), [5, 5]);
        assert_eq!(parts.encoder.encode("he xthe [PAD9]", false).unwrap()[..2], [4, 7]);
        assert!(!parts.encoder.encode("[PAD9]", false).unwrap().contains(&9));
        assert!(parts.add_bos && parts.add_eos);
        let pair = parts.pair_frame.unwrap().join(&[5], &[7], 9).unwrap();
        assert_eq!((pair.ids, pair.types), (vec![0, 5, 2, 2, 7, 2], vec![0; 6]));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let cases = [
            (GgufVocab { add_space_prefix: Some(false), ..vocab() }, "unsupported-model"),
            (GgufVocab { token_types: Some(vec![6; 10]), ..vocab() }, "unsupported-model"),
            (GgufVocab { scores: None, ..vocab() }, "bad-model"),
            (GgufVocab { unk_id: None, token_types: Some(vec![1; 10]), ..vocab() }, "bad-model"),
            (GgufVocab { charsmap: Some(vec![8, 0, 0, 0, 1]), ..vocab() }, "bad-model"),
        ];
        for (vocab, code) in cases {
            assert_eq!(vocab.build().err().unwrap().code(), code);
        }
    }
}
