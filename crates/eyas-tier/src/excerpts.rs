//! Knows texts again by excerpts of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// The least that counts as an excerpt, in bytes of UTF-8: some seven English words, or 13 Chinese characters.
pub(crate) const LEAST_EXCERPT_BYTES: usize = 40;

/// Bytes of the blocks by which places are found. Blocks begin at every multiple of their length, so that an excerpt holds a whole one.
const BLOCK_BYTES: usize = LEAST_EXCERPT_BYTES / 2;

/// Places of the same block that are kept. Of a block that has more, all texts are searched.
const MOST_PLACES: usize = 256;

/// Bytes of texts that are searched for blocks with more places than that; a text that wants more than these counts as an excerpt.
const MOST_SEARCHED: usize = 1 << 26;

/// Blocks that are no news which are kept in mind, in all; what comes later is news.
const MOST_KNOWN: usize = 1 << 16;

/// An index of texts. All texts here are in the form of [`crate::message_texts::plain`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Excerpts {
    texts: Vec<Rc<str>>,
    /// Text and offset of each block, by its hash.
    places: BTreeMap<u64, Vec<(u32, u32)>>,
}

impl Excerpts {
    /// Adds a text. Blocks that are `known` are left out: that another text has them says nothing.
    pub(crate) fn add(&mut self, text: &Rc<str>, known: &KnownBlocks) {
        let number = self.texts.len() as u32;
        let bytes = text.as_bytes();
        if bytes.len() < LEAST_EXCERPT_BYTES {
            return;
        }
        self.texts.push(text.clone());
        for (block, at) in bytes.chunks_exact(BLOCK_BYTES).zip((0..).step_by(BLOCK_BYTES)) {
            let hash = hash(block);
            if known.0.contains(&hash) {
                continue;
            }
            let places = self.places.entry(hash).or_default();
            if places.len() <= MOST_PLACES {
                places.push((number, at));
            }
        }
    }

    /// Whether `text` shares an excerpt of [`LEAST_EXCERPT_BYTES`] or more with one of the texts.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        if self.places.is_empty() || text.len() < LEAST_EXCERPT_BYTES {
            return false;
        }
        let bytes = text.as_bytes();
        let mut searched = 0;
        windows(bytes).enumerate().any(|(at, hash)| {
            let Some(places) = self.places.get(&hash) else { return false };
            let is_known = places.iter().any(|&(number, offset)| {
                self.texts.get(number as usize).is_some_and(|known| is_excerpt(known.as_bytes(), offset as usize, bytes, at))
            });
            is_known || places.len() > MOST_PLACES && self.has_excerpt_around(bytes, at, &mut searched)
        })
    }

    /// Whether a text shares an excerpt with the block at `at`, wherever it has that block at a place where a block begins.
    fn has_excerpt_around(&self, bytes: &[u8], at: usize, searched: &mut usize) -> bool {
        self.texts.iter().any(|text| {
            let known = text.as_bytes();
            *searched += known.len();
            *searched > MOST_SEARCHED || (0..known.len()).step_by(BLOCK_BYTES).any(|offset| is_excerpt(known, offset, bytes, at))
        })
    }
}

/// Whether two texts share as much as an excerpt around these two places, at which they share a block.
fn is_excerpt(a: &[u8], at_a: usize, b: &[u8], at_b: usize) -> bool {
    let before = a[..at_a].iter().rev().zip(b[..at_b].iter().rev()).take_while(|(a, b)| a == b).count();
    let behind = a[at_a..].iter().zip(&b[at_b..]).take_while(|(a, b)| a == b).count();
    behind >= BLOCK_BYTES && before + behind >= LEAST_EXCERPT_BYTES
}

/// Blocks of texts that are no secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownBlocks(BTreeSet<u64>);

impl KnownBlocks {
    /// Adds a text, wherever its blocks may begin in another one.
    pub(crate) fn add(&mut self, text: &str) {
        if text.len() >= BLOCK_BYTES && self.0.len() + text.len() <= MOST_KNOWN {
            self.0.extend(windows(text.as_bytes()));
        }
    }
}

/// An odd number with bits all over.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The polynomial of a block's bytes.
fn hash(block: &[u8]) -> u64 {
    block.iter().fold(0, |hash: u64, byte| hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte) + 1))
}

/// The hashes of all blocks of at least one block's bytes, at every offset in turn (Karp and Rabin 1987).
fn windows(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let weight = (1..BLOCK_BYTES).fold(1_u64, |weight, _| weight.wrapping_mul(BASE));
    let first = bytes.get(..BLOCK_BYTES).map_or(0, hash);
    let pairs = bytes.iter().zip(bytes.iter().skip(BLOCK_BYTES));
    let rest = pairs.scan(first, move |hash, (out, next)| {
        let kept = hash.wrapping_sub((u64::from(*out) + 1).wrapping_mul(weight));
        *hash = kept.wrapping_mul(BASE).wrapping_add(u64::from(*next) + 1);
        Some(*hash)
    });
    std::iter::once(first).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "my results say that i am hiv positive with three hundred and fifty cells left and dr olsen worries";

    fn indexed(texts: &[&str], known: &[&str]) -> Excerpts {
        let (mut excerpts, mut blocks) = (Excerpts::default(), KnownBlocks::default());
        for text in known {
            blocks.add(text);
        }
        for text in texts {
            excerpts.add(&Rc::from(*text), &blocks);
        }
        excerpts
    }

    #[test]
    fn every_excerpt_of_forty_bytes_is_found_wherever_it_begins() {
        let excerpts = indexed(&["another text that comes before it and is long enough", TEXT], &[]);
        for start in 0..=TEXT.len() - LEAST_EXCERPT_BYTES {
            let excerpt = &TEXT[start..start + LEAST_EXCERPT_BYTES];
            assert!(excerpts.are_in(&format!("what do you say to {excerpt}? thanks")), "{excerpt}");
            assert!(excerpts.are_in(excerpt), "{excerpt}");
            let short = &TEXT[start..start + LEAST_EXCERPT_BYTES - 1];
            assert!(!excerpts.are_in(&format!("#{short}#")), "{short}");
        }
        assert!(!excerpts.are_in("") && !Excerpts::default().are_in(TEXT));
    }

    #[test]
    fn what_is_known_says_nothing() {
        let wrapped = format!("answer the following question in one short sentence {TEXT}");
        let excerpts = indexed(&[&wrapped], &["answer the following question in one short sentence please"]);
        assert!(!excerpts.are_in("answer the following question in one short sentence what is rain"));
        assert!(excerpts.are_in(&TEXT[10..60]));
    }

    #[test]
    fn what_many_texts_share_hides_none_of_them() {
        // An excerpt from the middle of the first block to that of the third holds one whole block, which all texts share.
        let shared = "was seen on monday, ";
        assert_eq!(shared.len(), BLOCK_BYTES);
        for count in [3, MOST_PLACES, MOST_PLACES + 1, 2 * MOST_PLACES] {
            let texts: Vec<String> =
                (0..count).map(|number| format!("patient number {number:04} {shared}{number:04} cells are left")).collect();
            let excerpts = indexed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
            for text in &texts {
                let excerpt = &text[BLOCK_BYTES / 2..][..LEAST_EXCERPT_BYTES];
                assert!(excerpts.are_in(&format!("so {excerpt}")), "{excerpt} of {count}");
            }
            // What all of them share is no excerpt of any by itself.
            assert!(!excerpts.are_in("which patient of last week was seen on monday, and by whom?"));
        }
    }

    #[test]
    fn windows_have_the_hashes_of_their_blocks() {
        let bytes = TEXT.as_bytes();
        let expected: Vec<_> = bytes.windows(BLOCK_BYTES).map(hash).collect();
        assert_eq!(windows(bytes).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn repetitions_and_any_bytes_are_no_trouble() {
        let long = "la ".repeat(40_000);
        let excerpts = indexed(&[&long], &[]);
        assert!(excerpts.are_in(&"la ".repeat(20)) && !excerpts.are_in(&"lo ".repeat(20_000)));
        let snow = "雪が降る夜に私の検査結果が届きました陽性だと書いてある";
        assert!(indexed(&[snow], &[]).are_in(&format!("a{}", &snow[9..54])));
    }
}
