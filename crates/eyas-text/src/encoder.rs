//! The two ways in which text becomes token ids.

use std::sync::{Mutex, PoisonError};

use eyas_core::Result;

use crate::{library::Library, sentence_piece::SentencePiece};

/// Text to token ids.
pub(crate) enum Encoder {
    /// The `tokenizers` crate. Whether special tokens are parsed is a flag inside of it, hence the lock.
    Library(Box<Mutex<Library>>),
    /// SentencePiece BPE by scores, which the `tokenizers` crate can't express.
    SentencePiece(Box<SentencePiece>),
}

impl Encoder {
    pub(crate) fn library(library: Library) -> Self {
        Self::Library(Box::new(Mutex::new(library)))
    }

    /// Token ids of `text`.
    pub(crate) fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<u32>> {
        match self {
            Self::SentencePiece(encoder) => Ok(encoder.encode(text, parse_special)),
            Self::Library(library) => library.lock().unwrap_or_else(PoisonError::into_inner).encode(text, parse_special),
        }
    }

    /// The id of a token as the vocabulary writes it.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::SentencePiece(encoder) => encoder.ids.get(token).copied(),
            Self::Library(library) => library.lock().unwrap_or_else(PoisonError::into_inner).id(token),
        }
    }
}
