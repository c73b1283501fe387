//! The merge algorithm of SentencePiece BPE vocabularies, as GGUF files of kind `llama` hold them.
//!
//! Source: Kudo and Richardson, "SentencePiece: A simple and language independent subword tokenizer and detokenizer
//! for Neural Text Processing", 2018: of all adjacent pairs whose concatenation is a token, the one with the highest
//! score is merged, the leftmost of equals first, until there is none.

use std::{cmp::Ordering, collections::BinaryHeap, collections::HashMap};

use crate::{
    shield::is_no_mark,
    special_tokens::{Fragment, SpecialTokens},
};

/// What stands for a space inside of tokens.
pub(crate) const SPACE: char = '\u{2581}';

/// A SentencePiece BPE encoder with byte fallback.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    /// Every token by its text.
    pub(crate) ids: HashMap<String, u32>,
    /// By id: the score where the token may come from a merge.
    pub(crate) scores: Vec<Option<f32>>,
    /// Tokens `<0x00>` to `<0xFF>`.
    pub(crate) byte_ids: Vec<Option<u32>>,
    pub(crate) unk_id: Option<u32>,
    pub(crate) add_space_prefix: bool,
    pub(crate) special: SpecialTokens,
}

/// A run of bytes in the text that is one token so far; merged away where `len` is 0.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    len: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// A pair of neighbours that could be merged.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl SentencePiece {
    /// Token ids of `text`. A space is put before the text, and before each text that follows a written-out token.
    pub(crate) fn encode(&self, text: &str, parse_special: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        for fragment in self.special.split(text, parse_special) {
            match fragment {
                Fragment::Token(id, _) => ids.push(id),
                Fragment::Text(text) => {
                    let mut escaped = String::with_capacity(text.len() + 3);
                    if self.add_space_prefix {
                        escaped.push(SPACE);
                    }
                    escaped.extend(text.chars().filter(|&c| is_no_mark(c)).map(|c| if c == ' ' { SPACE } else { c }));
                    self.encode_fragment(&escaped, &mut ids);
                }
            }
        }
        ids
    }

    fn encode_fragment(&self, text: &str, ids: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, c))| Symbol { start, len: c.len_utf8(), prev: index.checked_sub(1), next: Some(index + 1) })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(pair) = pairs.pop() {
            let (left, right) = (symbols[pair.left], symbols[pair.right]);
            if left.len == 0 || right.len == 0 || left.len + right.len != pair.len {
                continue; // one of the two was merged since
            }
            symbols[pair.left] = Symbol { len: pair.len, next: right.next, ..left };
            symbols[pair.right].len = 0;
            if let Some(next) = right.next {
                symbols[next].prev = Some(pair.left);
                pairs.extend(self.pair(text, &symbols, pair.left, next));
            }
            if let Some(prev) = left.prev {
                pairs.extend(self.pair(text, &symbols, prev, pair.left));
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.len > 0) {
            self.emit(&text[symbol.start..symbol.start + symbol.len], ids);
        }
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let (start, len) = (symbols[left].start, symbols[left].len + symbols[right].len);
        let score = self.score(&text[start..start + len])?.1;
        Some(Pair { score, left, right, len })
    }

    /// The token with this text, unless text must never become it.
    fn score(&self, text: &str) -> Option<(u32, f32)> {
        let id = *self.ids.get(text)?;
        let score = self.scores.get(id as usize).copied().flatten()?;
        Some((id, score))
    }

    fn emit(&self, piece: &str, ids: &mut Vec<u32>) {
        if let Some((id, _)) = self.score(piece) {
            ids.push(id);
            return;
        }
        let fallback: Option<Vec<u32>> = piece.bytes().map(|byte| self.byte_ids.get(byte as usize).copied().flatten()).collect();
        match fallback {
            Some(bytes) => ids.extend(bytes),
            None => ids.extend(self.unk_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(tokens: &[(&str, f32)]) -> SentencePiece {
        SentencePiece {
            ids: tokens.iter().enumerate().map(|(id, (text, _))| ((*text).to_owned(), id as u32)).collect(),
            scores: tokens.iter().map(|(_, score)| Some(*score)).collect(),
            byte_ids: vec![None; 256],
            unk_id: None,
            add_space_prefix: false,
            special: SpecialTokens::default(),
        }
    }

    #[test]
    fn the_best_score_wins_and_the_leftmost_of_equals() {
        let tokens = [("a", 0.0), ("b", 0.0), ("ab", -2.0), ("ba", -1.0), ("aa", -3.0)];
        let encoder = encoder(&tokens);
        assert_eq!(encoder.encode("aba", true), [0, 3]); // "ba" before "ab"
        assert_eq!(encoder.encode("aaa", true), [4, 0]); // the left "aa"
    }

    #[test]
    fn bytes_stand_for_unknown_characters() {
        let mut encoder = encoder(&[("a", 0.0)]);
        encoder.unk_id = Some(7);
        assert_eq!(encoder.encode("aé", true), [0, 7]);
        encoder.byte_ids = (100..356).map(Some).collect();
        assert_eq!(encoder.encode("aé", true), [0, 100 + 0xc3, 100 + 0xa9]);
    }
}
