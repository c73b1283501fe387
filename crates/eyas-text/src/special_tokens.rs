//! Finds tokens that are written out in a text.

use std::collections::HashMap;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    /// Text to be tokenized.
    Text(&'t str),
    /// A token that was written out, and how.
    Token(u32, &'t str),
}

/// Tokens that are recognised as a whole before anything else happens to a text.
#[derive(Debug, Default)]
pub(crate) struct SpecialTokens {
    /// By their first byte, longest first.
    by_first_byte: HashMap<u8, Vec<SpecialToken>>,
}

#[derive(Debug)]
struct SpecialToken {
    text: String,
    id: u32,
    control: bool,
}

impl SpecialTokens {
    /// Adds a token; `control` tokens are recognised only where the caller asks for it.
    pub(crate) fn add(&mut self, text: &str, id: u32, control: bool) {
        if let Some(&first) = text.as_bytes().first() {
            self.by_first_byte.entry(first).or_default().push(SpecialToken { text: text.to_owned(), id, control });
        }
    }

    /// To be called after the last [`Self::add`].
    pub(crate) fn sort(&mut self) {
        for tokens in self.by_first_byte.values_mut() {
            eyas_core::sort_by(tokens, |a, b| b.text.len().cmp(&a.text.len()));
        }
    }

    /// Splits `text`: the leftmost token first, the longest of those that begin there.
    pub(crate) fn split<'t>(&self, text: &'t str, parse_control: bool) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let (mut start, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let found = self.by_first_byte.get(&bytes[at]).and_then(|tokens| {
                tokens.iter().find(|token| (parse_control || !token.control) && bytes[at..].starts_with(token.text.as_bytes()))
            });
            let Some(token) = found else {
                at += 1;
                continue;
            };
            if start < at {
                fragments.push(Fragment::Text(&text[start..at]));
            }
            let end = at + token.text.len();
            fragments.push(Fragment::Token(token.id, &text[at..end]));
            at = end;
            start = at;
        }
        if start < bytes.len() {
            fragments.push(Fragment::Text(&text[start..]));
        }
        fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_wins_and_control_tokens_need_leave() {
        let mut tokens = SpecialTokens::default();
        tokens.add("<s>", 1, true);
        tokens.add("<s>>", 2, true);
        tokens.add("<u>", 3, false);
        tokens.sort();
        assert_eq!(
            tokens.split("a<s>>é<s><u>", true),
            [
                Fragment::Text("a"),
                Fragment::Token(2, "<s>>"),
                Fragment::Text("é"),
                Fragment::Token(1, "<s>"),
                Fragment::Token(3, "<u>")
            ]
        );
        assert_eq!(tokens.split("<s><u>b", false), [Fragment::Text("<s>"), Fragment::Token(3, "<u>"), Fragment::Text("b")]);
        assert!(tokens.split("", true).is_empty());
    }
}
