//! Keeps special tokens that somebody wrote into a message apart from those that a chat template writes.
//!
//! A rendered conversation is one text, in which both look the same. So before rendering, every special token inside of a message gets a mark
//! after its first character, which makes it no token any more; the encoder takes the marks out once it has found the tokens. A token of
//! one character can't be told apart so; no published model is known to have one.

use std::borrow::Cow;

use crate::special_tokens::{Fragment, SpecialTokens};

/// The mark: a noncharacter, which Unicode leaves to programs for their own use and advises against in exchanged texts.
const MARK: char = '\u{fdd0}';

/// `text` with a mark in every special token that is written in it. Marks that were in it already are taken out.
pub(crate) fn shield<'t>(special: &SpecialTokens, text: &'t str) -> Cow<'t, str> {
    let text = unmarked(text);
    let fragments = special.split(&text, true);
    if fragments.iter().all(|fragment| matches!(fragment, Fragment::Text(_))) {
        return text;
    }
    let mut shielded = String::with_capacity(text.len() + 3 * fragments.len());
    for fragment in fragments {
        match fragment {
            Fragment::Text(text) => shielded.push_str(text),
            Fragment::Token(_, token) => {
                let first = token.chars().next().map_or(0, char::len_utf8);
                shielded.extend([&token[..first], MARK.encode_utf8(&mut [0; 4]), &token[first..]]);
            }
        }
    }
    Cow::Owned(shielded)
}

/// Whether a text has marks.
pub(crate) fn is_marked(text: &str) -> bool {
    text.contains(MARK)
}

/// Whether a character is no mark.
pub(crate) fn is_no_mark(character: char) -> bool {
    character != MARK
}

/// `text` without marks.
pub(crate) fn unmarked(text: &str) -> Cow<'_, str> {
    if is_marked(text) { Cow::Owned(text.chars().filter(|&c| is_no_mark(c)).collect()) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_gets_a_mark_and_foreign_marks_go() {
        let mut special = SpecialTokens::default();
        special.add("<|end|>", 1, true);
        special.add("é!", 2, true);
        special.sort();
        assert!(matches!(shield(&special, "plain <|en d|>"), Cow::Borrowed(_)));
        assert_eq!(shield(&special, "a<|end|><|end|>é!b"), "a<\u{fdd0}|end|><\u{fdd0}|end|>é\u{fdd0}!b");
        assert_eq!(shield(&special, "a\u{fdd0}b"), "ab");
        // A mark of somebody else's can't hide a token.
        assert_eq!(shield(&special, "<|en\u{fdd0}d|>"), "<\u{fdd0}|end|>");
        assert_eq!(unmarked(&shield(&special, "<|end|> é!")), "<|end|> é!");
    }
}
