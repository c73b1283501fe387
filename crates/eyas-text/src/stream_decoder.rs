//! Text from tokens as they come.

use std::sync::Arc;

use eyas_core::Result;

use crate::{joining::JoinState, token_table::TokenTable};

/// Turns tokens into text one by one, never emitting half a character.
///
/// What [`Self::push`] and [`Self::finish`] return, put together, is what [`crate::Tokenizer::decode`] returns for all
/// tokens at once. Bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed part.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    table: Arc<TokenTable>,
    skip_special: bool,
    state: JoinState,
    pending: Vec<u8>,
}

impl StreamDecoder {
    pub(crate) fn new(table: Arc<TokenTable>, skip_special: bool) -> Self {
        Self { table, skip_special, state: JoinState::default(), pending: Vec::new() }
    }

    /// Takes the next token and returns the text that became certain, often empty. Fails with `bad-input` for an id
    /// outside the vocabulary.
    pub fn push(&mut self, id: u32) -> Result<String> {
        let bytes = self.table.checked_bytes(id)?;
        if self.skip_special && self.table.is_special(id) {
            return Ok(String::new());
        }
        self.table.joining.append(&mut self.state, bytes, &mut self.pending);
        Ok(take_certain(&mut self.pending))
    }

    /// Returns what is left, an unfinished character as U+FFFD, and makes the decoder ready for another text.
    pub fn finish(&mut self) -> Result<String> {
        self.state = JoinState::default();
        let pending = std::mem::take(&mut self.pending);
        Ok(String::from_utf8_lossy(&pending).into_owned())
    }
}

/// Takes everything but an unfinished character from the front of `pending`.
fn take_certain(pending: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut rest = pending.as_slice();
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                pending.clear();
                return text;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                let Some(ill_formed) = error.error_len() else {
                    *pending = after.to_vec();
                    return text;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &after[ill_formed..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_waits() {
        let mut pending = b"a\xe2\x82".to_vec();
        assert_eq!(take_certain(&mut pending), "a");
        pending.push(0xac);
        assert_eq!(take_certain(&mut pending), "€");
        pending.extend_from_slice(b"\xffb\xc3");
        assert_eq!(take_certain(&mut pending), "\u{fffd}b");
        pending.push(b'c');
        assert_eq!(take_certain(&mut pending), "\u{fffd}c");
    }
}
