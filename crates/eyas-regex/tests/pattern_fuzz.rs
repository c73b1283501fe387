//! Patterns damaged at random, the same way in every run, and patterns that mean to be bombs: each is refused or searches within its bounds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/fuzz/damage.rs"]
mod damage;

use damage::{Random, damaged_text, peak, runs, within};
use eyas_regex::Regex;

/// Those of real tokenizers, and everything else that the syntax has.
const GOOD: [&str; 5] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"(?<=\d)(?=(?:\d{3})+\b)|[[:alpha:]--[aeiou]&&[^xyz]]{2,}?|(?<!a)\x{1F600}|\u00e9|^$|.*?\z",
    r"(?:(?:a|b)*c{0,5}|(?>d+)e)++|[\-\]\\^]|\Q.*\E|(?x) a b # c",
];

const TEXT: &str = "It's 12,345 cafés – ÀÉ  \r\n\t naïve 'LL aaaaaaaaaaaaaaaaaaaaaaaaaaaab 汉字 😀😀 ddddddde [x^y] \\ .* \n";

/// Searches, and checks that what is found lies in the text in order.
fn search(regex: &Regex, text: &str) -> usize {
    let (mut end, mut found) = (0, 0);
    for (start, stop) in regex.find_iter(text).map_while(Result::ok) {
        assert!(start >= end && stop >= start && text.get(start..stop).is_some(), "{:?}: {start}..{stop}", regex.as_str());
        (end, found) = (stop, found + 1);
    }
    found
}

#[test]
fn damaged_patterns_are_refused_or_search_within_bounds() {
    let (accepted, refused) = within(120_000, || {
        let (mut random, mut accepted, mut refused) = (Random(3), 0, 0);
        for run in 0..runs(8_000) {
            let pattern = damaged_text(GOOD[run % GOOD.len()], &mut random);
            let (regex, peak_bytes) = peak(|| Regex::new(&pattern, run % 7 == 0));
            assert!(peak_bytes <= 8 << 20, "{pattern:?} took {peak_bytes} bytes");
            match regex {
                Ok(regex) => {
                    search(&regex, TEXT);
                    accepted += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        (accepted, refused)
    });
    assert!(accepted > 1_000 && refused > 500, "{accepted} accepted, {refused} refused");
}

#[test]
fn bombs_end() {
    let nested = |open: &str, close: &str| format!("{}a{}", open.repeat(20_000), close.repeat(20_000));
    let bombs = [
        "(a{1000}){1000}".to_owned(),
        "((a{100}){100}){100}".to_owned(),
        "a{4294967295}".to_owned(),
        "(?:a{0,60000}){0,60000}".to_owned(),
        "(a*)*b".to_owned(),
        "(a|a)*b".to_owned(),
        "(?=(a+)+b)".to_owned(),
        nested("(", ")"),
        nested("[", "]"),
        nested("(?=", ")"),
        "a|".repeat(100_000),
        "\\p{L}".repeat(20_000),
        "[\\p{L}\\p{N}\\w]{1000}".to_owned(),
    ];
    for bomb in bombs {
        let shown: String = bomb.chars().take(30).collect();
        let peak_bytes = within(60_000, move || {
            let (regex, peak_bytes) = peak(|| Regex::new(&bomb, false));
            if let Ok(regex) = regex {
                search(&regex, &"a".repeat(300));
            }
            peak_bytes
        });
        assert!(peak_bytes <= 256 << 20, "{shown} took {peak_bytes} bytes");
    }
}
