//! The two ways in which text becomes token ids.

use std::sync::{Mutex, PoisonError};

use eyas_core::{Error, Result};

use crate::sentence_piece::SentencePiece;

/// Text to token ids.
pub(crate) enum Encoder {
    /// The `tokenizers` crate. Whether special tokens are parsed is a flag inside of it, hence the lock.
    Library(Box<Mutex<tokenizers::Tokenizer>>),
    /// SentencePiece BPE by scores, which the `tokenizers` crate can't express.
    SentencePiece(Box<SentencePiece>),
}

impl Encoder {
    pub(crate) fn library(tokenizer: tokenizers::Tokenizer) -> Self {
        Self::Library(Box::new(Mutex::new(tokenizer)))
    }

    /// Token ids of `text`; `add_special` asks the tokenizer's own post-processor.
    pub(crate) fn encode(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<u32>> {
        match self {
            Self::SentencePiece(encoder) => Ok(encoder.encode(text, parse_special)),
            Self::Library(tokenizer) => {
                let mut tokenizer = tokenizer.lock().unwrap_or_else(PoisonError::into_inner);
                tokenizer.set_encode_special_tokens(!parse_special);
                let encoding = tokenizer
                    .encode_fast(text, add_special)
                    .map_err(|error| Error::bad_input(format!("the text could not be tokenized: {error}")))?;
                Ok(encoding.get_ids().to_vec())
            }
        }
    }

    /// The id of a token as the vocabulary writes it.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::SentencePiece(encoder) => encoder.ids.get(token).copied(),
            Self::Library(tokenizer) => tokenizer.lock().unwrap_or_else(PoisonError::into_inner).token_to_id(token),
        }
    }
}
