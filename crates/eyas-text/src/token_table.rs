//! What every token is in bytes, and which tokens are special.

use std::fmt;

use eyas_core::{Error, Result};

use crate::{joining::Joining, special_tokens::SpecialTokens};

/// Token ids to bytes, in one allocation, with the rule by which tokens become a text.
#[derive(Default)]
pub(crate) struct TokenTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    special: Vec<bool>,
    pub(crate) joining: Joining,
}

impl TokenTable {
    /// An empty table for `capacity` tokens.
    pub(crate) fn new(capacity: usize, joining: Joining) -> Self {
        Self { bytes: Vec::new(), ends: Vec::with_capacity(capacity), special: Vec::with_capacity(capacity), joining }
    }

    /// Appends the next id. An id without a token has no bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], special: bool) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        let end = u32::try_from(self.bytes.len()).map_err(|_| Error::bad_model("the vocabulary's text exceeds 4 GiB"))?;
        self.ends.push(end);
        self.special.push(special);
        Ok(())
    }

    /// One more than the highest id.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of `id`; none where there is no such id.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let index = id as usize;
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&start| start as usize);
        self.bytes.get(start..end)
    }

    /// Whether a token stands behind `id`.
    pub(crate) fn has_token(&self, id: u32) -> bool {
        self.is_special(id) || self.bytes(id).is_some_and(|bytes| !bytes.is_empty())
    }

    /// Whether `id` is a special token.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// The special tokens as they are written.
    pub(crate) fn control_tokens(&self) -> SpecialTokens {
        let mut control = SpecialTokens::default();
        for id in (0..self.len() as u32).filter(|id| self.is_special(*id)) {
            if let Some(text) = self.bytes(id).and_then(|bytes| std::str::from_utf8(bytes).ok()) {
                control.add(text, id, true);
            }
        }
        control.sort();
        control
    }

    /// The bytes of `id`, or `bad-input` naming the vocabulary's size.
    pub(crate) fn checked_bytes(&self, id: u32) -> Result<&[u8]> {
        self.bytes(id).ok_or_else(|| {
            Error::bad_input(format!("token id {id} is outside the vocabulary; expected 0 to {}", self.len().saturating_sub(1)))
        })
    }
}

impl fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenTable").field("tokens", &self.len()).field("joining", &self.joining).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_bytes() {
        let mut table = TokenTable::new(2, Joining::Plain);
        table.push(b"ab", false).unwrap();
        table.push(b"", true).unwrap();
        table.push(b"c", false).unwrap();
        assert_eq!(table.bytes(0), Some(&b"ab"[..]));
        assert_eq!(table.bytes(1), Some(&b""[..]));
        assert_eq!(table.bytes(2), Some(&b"c"[..]));
        assert!(table.is_special(1) && !table.is_special(2) && !table.is_special(9));
        table.push(b"", false).unwrap();
        assert!(table.has_token(1) && table.has_token(2) && !table.has_token(3) && !table.has_token(4));
        assert_eq!(table.checked_bytes(4).unwrap_err().code(), "bad-input");
    }
}
