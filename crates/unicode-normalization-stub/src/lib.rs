//! Unicode's normalization forms (UAX #15) with alignments, behind the names of the crates.io crate that `tokenizers` asks for; docs/adr/0008.
//!
//! Every form is an iterator over `(character, change)`: 0 for a character that takes the place of one, 1 for one that is added behind it, and
//! minus the number of further characters that went into it. Not here: the quick checks and the stream-safe process, which nobody asks for.
//!
//! ```
//! use unicode_normalization_alignments::UnicodeNormalization;
//! assert_eq!("é".nfd().collect::<Vec<_>>(), [('e', 0), ('\u{301}', 1)]);
//! assert_eq!("e\u{301}".nfc().collect::<Vec<_>>(), [('é', -1)]);
//! ```

mod tables;

use std::vec::IntoIter;

use tables::Tables;

/// Characters with their changes.
pub type Normalized = IntoIter<(char, isize)>;

/// Questions about single characters.
pub mod char {
    use super::Tables;

    /// Whether the general category is a mark.
    pub fn is_combining_mark(char: char) -> bool {
        Tables::get().is_mark(char)
    }
}

/// The normalization forms of a text.
pub trait UnicodeNormalization {
    /// Canonical decomposition.
    fn nfd(self) -> Normalized;
    /// Compatible decomposition.
    fn nfkd(self) -> Normalized;
    /// Canonical decomposition, then composition.
    fn nfc(self) -> Normalized;
    /// Compatible decomposition, then composition.
    fn nfkc(self) -> Normalized;
}

impl UnicodeNormalization for &str {
    fn nfd(self) -> Normalized {
        decomposed(self, false).into_iter()
    }

    fn nfkd(self) -> Normalized {
        decomposed(self, true).into_iter()
    }

    fn nfc(self) -> Normalized {
        composed(decomposed(self, false)).into_iter()
    }

    fn nfkc(self) -> Normalized {
        composed(decomposed(self, true)).into_iter()
    }
}

/// Hangul syllables follow from their parts by arithmetic (The Unicode Standard, section 3.12).
mod hangul {
    const SYLLABLES: u32 = 0xac00;
    const LEADING: u32 = 0x1100;
    const VOWELS: u32 = 0x1161;
    const TRAILING: u32 = 0x11a7;
    const LEADING_COUNT: u32 = 19;
    const VOWEL_COUNT: u32 = 21;
    const TRAILING_COUNT: u32 = 28;
    const COUNT: u32 = LEADING_COUNT * VOWEL_COUNT * TRAILING_COUNT;

    /// The two or three parts of a syllable.
    pub(super) fn parts(char: char) -> Option<impl Iterator<Item = char>> {
        let index = u32::from(char).checked_sub(SYLLABLES).filter(|index| *index < COUNT)?;
        let trailing = index % TRAILING_COUNT;
        let codes = [
            LEADING + index / (VOWEL_COUNT * TRAILING_COUNT),
            VOWELS + index / TRAILING_COUNT % VOWEL_COUNT,
            TRAILING + trailing,
        ];
        Some(codes.into_iter().take(if trailing == 0 { 2 } else { 3 }).filter_map(char::from_u32))
    }

    /// The syllable of a leading consonant and a vowel, or of a syllable without a trailing consonant and one.
    pub(super) fn composed(first: char, second: char) -> Option<char> {
        let within = |char: char, start: u32, count: u32| u32::from(char).checked_sub(start).filter(|index| *index < count);
        if let (Some(leading), Some(vowel)) = (within(first, LEADING, LEADING_COUNT), within(second, VOWELS, VOWEL_COUNT)) {
            return char::from_u32(SYLLABLES + (leading * VOWEL_COUNT + vowel) * TRAILING_COUNT);
        }
        let index = within(first, SYLLABLES, COUNT).filter(|index| index.is_multiple_of(TRAILING_COUNT))?;
        let trailing = within(second, TRAILING, TRAILING_COUNT).filter(|trailing| *trailing > 0)?;
        char::from_u32(SYLLABLES + index + trailing)
    }
}

/// All characters decomposed, and marks behind one base in the order of their classes.
fn decomposed(text: &str, compatible: bool) -> Vec<(char, isize)> {
    let tables = Tables::get();
    let mut parts: Vec<(char, isize)> = Vec::with_capacity(text.len());
    // Where the marks begin that are not sorted yet.
    let mut marks = 0;
    let sort = |marks: &mut [(char, isize)]| {
        if marks.len() > 1 {
            marks.sort_by_key(|mark| tables.class(mark.0));
        }
    };
    for char in text.chars() {
        let from = parts.len();
        if char.is_ascii() {
            parts.push((char, 0));
        } else if let Some(syllable) = hangul::parts(char) {
            parts.extend(syllable.map(|part| (part, 1)));
        } else {
            match tables.decomposed(char, compatible) {
                Some(of) => parts.extend(of.iter().map(|part| (*part, 1))),
                None => parts.push((char, 1)),
            }
        }
        if let Some(first) = parts.get_mut(from) {
            first.1 = 0;
        }
        for at in from..parts.len() {
            if parts[at].0.is_ascii() || tables.class(parts[at].0) == 0 {
                sort(&mut parts[marks..at]);
                marks = at + 1;
            }
        }
    }
    sort(&mut parts[marks..]);
    parts
}

/// Bases joined with what follows them, unless something of the same class or a higher one stands between.
fn composed(parts: Vec<(char, isize)>) -> Vec<(char, isize)> {
    let tables = Tables::get();
    let mut text: Vec<(char, isize)> = Vec::with_capacity(parts.len());
    let mut base: Option<usize> = None;
    // The class of the last character behind the base that stayed.
    let mut between: Option<u8> = None;
    for (char, change) in parts {
        let class = if char.is_ascii() { 0 } else { tables.class(char) };
        if let Some(base) = base
            && between.is_none_or(|between| between < class)
        {
            let joined = hangul::composed(text[base].0, char).or_else(|| tables.composed(text[base].0, char));
            if let Some(joined) = joined {
                text[base] = (joined, text[base].1 + change - 1);
                continue;
            }
        }
        if class == 0 {
            (base, between) = (Some(text.len()), None);
        } else if base.is_some() {
            between = Some(class);
        }
        text.push((char, change));
    }
    text
}
