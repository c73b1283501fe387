//! The same as the real crates: characters as `unicode-normalization` has them, alignments as `unicode-normalization-alignments` has them.
//!
//! The latter can't be here, since this crate has its name. Its forms of every character, alone and between marks, and of pairs are known by their sum.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization as Real;
use unicode_normalization_alignments::{UnicodeNormalization as Own, char::is_combining_mark};

type Characters = Vec<(char, isize)>;

/// The sums of what `unicode-normalization-alignments` 0.1.12 makes of [`single_texts`] and [`pairs`].
const SINGLE_SUM: u64 = 0xfa3e_8b16_cc83_f32e;
const PAIR_SUM: u64 = 0x0d45_a6f9_059f_a366;

fn own(text: &str) -> [Characters; 4] {
    [Own::nfd(text).collect(), Own::nfkd(text).collect(), Own::nfc(text).collect(), Own::nfkc(text).collect()]
}

fn real(text: &str) -> [String; 4] {
    [Real::nfd(text).collect(), Real::nfkd(text).collect(), Real::nfc(text).collect(), Real::nfkc(text).collect()]
}

fn characters() -> impl Iterator<Item = char> {
    (0..=u32::from(char::MAX)).filter_map(char::from_u32)
}

/// Every character alone, behind a base with a mark and before one, and before two marks.
fn single_texts() -> impl Iterator<Item = String> {
    characters().flat_map(|char| [char.to_string(), format!("a\u{301}{char}\u{323}"), format!("{char}\u{308}\u{327}")])
}

/// Everything that could be the first of a pair with everything that is the second of one.
fn pairs() -> impl Iterator<Item = String> {
    let parts = |char: char| Real::nfd(char.to_string().as_str()).collect::<Vec<char>>();
    let mut seconds: Vec<char> =
        characters().map(parts).filter(|parts| parts.len() > 1).map(|parts| parts[parts.len() - 1]).collect();
    seconds.sort_unstable();
    seconds.dedup();
    assert!(seconds.len() > 80, "{} seconds", seconds.len());
    let firsts = characters().filter(move |char| {
        let is_jamo = ('\u{1100}'..'\u{1200}').contains(char);
        parts(*char).len() > 1 && !('\u{ac00}'..'\u{d000}').contains(char)
            || is_jamo
            || char.is_alphabetic() && u32::from(*char) < 0x3400
    });
    firsts.flat_map(move |first| seconds.clone().into_iter().map(move |second| [first, second].iter().collect()))
}

/// A sum that tells sequences apart: FNV-1a over words.
struct Sum(u64);

impl Sum {
    fn add(&mut self, forms: &[Characters]) {
        for form in forms {
            for (char, change) in form.iter().chain([&('\u{10ffff}', 99)]) {
                for word in [u64::from(u32::from(*char)), *change as u64] {
                    self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
}

fn checked_sum(texts: impl Iterator<Item = String>) -> u64 {
    let mut sum = Sum(0xcbf2_9ce4_8422_2325);
    for text in texts {
        let forms = own(&text);
        let plain = forms.each_ref().map(|form| form.iter().map(|part| part.0).collect::<String>());
        assert_eq!(plain, real(&text), "{text:?}");
        sum.add(&forms);
    }
    sum.0
}

#[test]
fn every_character_alone_and_between_marks() {
    for char in characters() {
        assert_eq!(is_combining_mark(char), unicode_normalization::char::is_combining_mark(char), "{char:?}");
    }
    assert_eq!(checked_sum(single_texts()), SINGLE_SUM);
}

#[test]
fn every_pair_composes_alike() {
    assert_eq!(checked_sum(pairs()), PAIR_SUM);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_texts(text in prop::collection::vec(prop_oneof![
        any::<char>(),
        prop::char::range('\u{300}', '\u{36f}'),
        prop::char::range('a', 'z'),
        prop::char::range('\u{c0}', '\u{24f}'),
        prop::char::range('\u{1100}', '\u{1200}'),
        prop::char::range('\u{ac00}', '\u{d7a3}'),
        prop::char::range('\u{900}', '\u{dff}'),
    ], 0..24).prop_map(|chars| chars.into_iter().collect::<String>())) {
        let forms = own(&text);
        let plain = forms.each_ref().map(|form| form.iter().map(|part| part.0).collect::<String>());
        prop_assert_eq!(plain, real(&text));
        // What was added and what was taken away add up.
        for form in forms {
            prop_assert_eq!(form.iter().map(|part| 1 - part.1).sum::<isize>(), text.chars().count() as isize);
        }
    }
}
