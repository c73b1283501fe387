//! How the bytes of tokens become a text.

/// The rule by which a tokenizer joins tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Joining {
    /// One after the other.
    #[default]
    Plain,
    /// One after the other; up to so many spaces at the text's start are dropped.
    StripStart(usize),
    /// One after the other; the first token loses its spaces (the Metaspace rule).
    FirstWithoutSpaces,
    /// With a space between.
    Spaced,
    /// A space before every token but the first, unless it continues a word; English punctuation is drawn near with `cleanup`.
    WordPiece {
        /// What marks a token that continues a word.
        prefix: String,
        /// Whether spaces before punctuation and contractions are removed.
        cleanup: bool,
    },
}

/// Where in the text a joining is.
#[derive(Debug, Clone, Default)]
pub(crate) struct JoinState {
    started: bool,
    strip_left: usize,
}

impl Joining {
    /// Appends one token's bytes to `out`.
    pub(crate) fn append(&self, state: &mut JoinState, token: &[u8], out: &mut Vec<u8>) {
        let first = !std::mem::replace(&mut state.started, true);
        match self {
            Self::StripStart(spaces) => {
                if first {
                    state.strip_left = *spaces;
                }
                let leading = token.iter().take_while(|&&byte| byte == b' ').count();
                let dropped = leading.min(state.strip_left);
                state.strip_left = if leading == token.len() { state.strip_left - dropped } else { 0 };
                out.extend_from_slice(&token[dropped..]);
            }
            Self::FirstWithoutSpaces if first => out.extend(token.iter().copied().filter(|&byte| byte != b' ')),
            Self::Plain | Self::FirstWithoutSpaces => out.extend_from_slice(token),
            Self::Spaced => {
                if !first {
                    out.push(b' ');
                }
                out.extend_from_slice(token);
            }
            Self::WordPiece { prefix, cleanup } => {
                let token = String::from_utf8_lossy(token);
                let text = match token.strip_prefix(prefix.as_str()) {
                    _ if first => token.into_owned(),
                    Some(rest) => rest.to_owned(),
                    None => format!(" {token}"),
                };
                out.extend_from_slice(if *cleanup { clean_up(text) } else { text }.as_bytes());
            }
        }
    }
}

/// Draws English punctuation and contractions near, within one token.
fn clean_up(text: String) -> String {
    const RULES: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    RULES.iter().fold(text, |text, (from, to)| if text.contains(from) { text.replace(from, to) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(joining: &Joining, tokens: &[&str]) -> String {
        let (mut state, mut out) = (JoinState::default(), Vec::new());
        for token in tokens {
            joining.append(&mut state, token.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn stripping_stops_at_the_first_other_byte() {
        assert_eq!(join(&Joining::StripStart(1), &[" a", " b"]), "a b");
        assert_eq!(join(&Joining::StripStart(1), &["  a"]), " a");
        assert_eq!(join(&Joining::StripStart(2), &[" ", "", " ", " x"]), " x");
        assert_eq!(join(&Joining::StripStart(1), &["a", " b"]), "a b");
    }

    #[test]
    fn words_are_put_together() {
        let joining = Joining::WordPiece { prefix: "##".into(), cleanup: true };
        assert_eq!(join(&joining, &["un", "##aff", "##able", "!", "it", "'s"]), "unaffable! it's");
        assert_eq!(join(&Joining::Spaced, &["a", "b"]), "a b");
        assert_eq!(join(&Joining::FirstWithoutSpaces, &[" a", " b"]), "a b");
    }
}
