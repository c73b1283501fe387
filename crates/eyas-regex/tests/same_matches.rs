//! The same matches as the engines that this one stands in for.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use eyas_regex::Regex;
use proptest::{prelude::*, test_runner::TestRunner};

/// Patterns as they stand in published tokenizers, and some that try a corner.
const PATTERNS: &[&str] = &[
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!-/:-~！-／：-～‘-‟　-。]+",
    r"[一-龥\u{3040}-ゟ゠-ヿ]+",
    r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\p{Han}\s]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"(?<=\p{L})\p{N}+|(?<!\p{L})\p{L}+",
    r"\d{1,3}(?=(\d{3})+\b)",
    r"\w+|[^\w\s]+",
    r"\b\w",
    r"\B.",
    r"^\s*|\s*$",
    r"(?m)^.*$",
    r"(?s).{3}",
    r"a*",
    r"(a|ab)(c|bcd)?",
    r"(?:a*)*b|.",
    r"(?:a|b)*?c|b+?",
    r"(?>a+b?)a|b",
    r"x{2,3}?|y{2}|z{,2}q|{",
    r"(?i)straße|ǆ|k|σ",
    r"(?i)[a-c\p{Lu}]+",
    r"(?i)[^a-z]+",
    r"[[:alpha:]--[aeiou]]+|[[:^alpha:]&&\S]+",
    r"[a-z~~[m-q]]+",
    r"[]a-]+|[^-]",
    r"[\]\[\-^]+",
    r"(?x) a  b # comment",
    r"(?#words)\p{Alphabetic}+|\p{White_Space}",
    r"\p{Script=Greek}+|\p{sc=Cyrl}|\p{Hiragana}|\pN|\P{L}|\p{gc!=Lu}",
    r"\h+|\H",
    r"[^\p{L}\p{N}]?+[\x41-\x{5a}]",
    r"\s+\Z|\A\S",
    r"(?:(?=a)a|b){2,4}",
];

fn same(pattern: &str, text: &str) {
    both(pattern)(text);
}

/// Compiles a pattern for both engines, and compares what they find in a text.
fn both(pattern: &str) -> impl Fn(&str) {
    let real = real_fancy_regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let ours = Regex::new(pattern, false).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    move |text| {
        let real: Vec<_> = real.find_iter(text).map(|found| found.map(|found| (found.start(), found.end())).unwrap()).collect();
        let ours: Vec<_> = ours.find_iter(text).map(Result::unwrap).collect();
        assert_eq!(ours, real, "{pattern} in {text:?}");
    }
}

#[test]
fn every_character_is_in_the_same_classes() {
    let names = [
        "Lu",
        "Ll",
        "Lt",
        "Lm",
        "Lo",
        "L",
        "Mn",
        "Mc",
        "Me",
        "M",
        "Nd",
        "Nl",
        "No",
        "N",
        "Pc",
        "Pd",
        "Ps",
        "Pe",
        "Pi",
        "Pf",
        "Po",
        "P",
        "Sm",
        "Sc",
        "Sk",
        "So",
        "S",
        "Zs",
        "Zl",
        "Zp",
        "Z",
        "Cc",
        "Cf",
        "Co",
        "Cn",
        "C",
        "LC",
        "Any",
        "ASCII",
        "Assigned",
        "Alphabetic",
        "Uppercase",
        "Lowercase",
        "White_Space",
        "Ideographic",
        "Emoji",
        "Extended_Pictographic",
        "punct",
        "digit",
    ];
    let scripts = include_str!("../scripts.txt").split_whitespace();
    let named = names.into_iter().chain(scripts).map(|name| format!(r"\p{{{name}}}+"));
    let others = [r"\w+", r"\W+", r"\s+", r"\d+", r"\h+", r"."].map(str::to_owned);
    let every: String = ('\0'..=char::MAX).collect();
    for pattern in named.chain(others) {
        same(&pattern, &every);
    }
}

#[test]
fn case_is_folded_alike() {
    let cased = |c: &char| c.is_lowercase() || c.is_uppercase() || c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c]);
    let all: String = ('\0'..=char::MAX).filter(cased).collect();
    for c in all.chars() {
        let mut set = regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(c, c)]);
        set.case_fold_simple();
        let ours = Regex::new(&format!(r"\x{{{:x}}}", c as u32), true).unwrap();
        for found in set.iter().flat_map(|range| range.start()..=range.end()) {
            assert!(ours.find(found.encode_utf8(&mut [0; 4])).unwrap().is_some(), "{c:?} {found:?}");
        }
    }
    for pattern in [r"(?i)[a-z]+", r"(?i)\p{Lu}+", r"(?i)[^k]+", r"(?i)\P{Ll}+", r"(?i)[\x{3b1}-\x{3c9}]+", r"(?i)\W+"] {
        same(pattern, &all);
    }
}

#[test]
fn malformed_patterns_are_refused() {
    for pattern in [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "[]",
        "[b-a]",
        r"[a-\d]",
        "*",
        "a**",
        "+a",
        "(?",
        "(?z)a",
        "(?)",
        "(?i",
        r"\",
        r"\y",
        r"\p{Nope}",
        r"\p",
        r"\x{110000}",
        r"\xzz",
        "(?<>a)",
        "(?=a)*",
        r"[\A]\k<a>",
    ] {
        assert!(Regex::new(pattern, false).is_err(), "{pattern}");
        assert!(real_fancy_regex::Regex::new(pattern).is_err(), "{pattern} is fine for the other");
    }
    // Too large, or more than this engine does.
    for pattern in [r"(a)\1", r"(?<n>a)\k<n>", r"a\Kb", r"\Ga", "(?(1)a|b)", r"((((a{500}){500}){500}))", r"\b{start}"] {
        assert!(Regex::new(pattern, false).is_err(), "{pattern}");
    }
    assert_eq!(
        Regex::new("ab(", false).unwrap_err().to_string(),
        "regular expression, byte 3: a group has no closing parenthesis"
    );
}

#[test]
fn hostile_patterns_end() {
    let text = "a".repeat(3000);
    for pattern in ["(a+)+b", "(a*)*b", "(a|a)*b", "(?:a?){50}a{50}b", "(?=(a+)+b)b", "(?<=(?:b|a+a+)*)c", "(?:(?:a|aa)+)+$b"] {
        let started = std::time::Instant::now();
        let found = Regex::new(pattern, false).unwrap().find(&text);
        assert!(!matches!(found, Ok(Some(_))), "{pattern}");
        println!("{pattern}: {:.1} s", started.elapsed().as_secs_f64());
    }
    // A long text without a match is searched to its end.
    let long = format!("{}b", "a".repeat(2_000_000));
    assert_eq!(Regex::new("b", false).unwrap().find(&long), Ok(Some((2_000_000, 2_000_001))));
}

#[test]
fn escaped_text_is_found() {
    let text: String = (' '..='~').chain("é▁\n".chars()).collect();
    assert_eq!(Regex::new(&eyas_regex::escape(&text), false).unwrap().find(&text), Ok(Some((0, text.len()))));
}

/// Texts with what tokenizers stumble over.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-d]{1,4}",
        3 => "[ \\n\\t]{1,3}",
        2 => "[0-9]{1,5}",
        2 => "[.,!?'(){}\\[\\]^|~_-]{1,3}",
        1 => "'(s|LL|ve|D)",
        1 => "[А-яα-ωÀ-ÿ]{1,4}",
        1 => "[\\u{4e00}-\\u{4e20}ぁ-んァ-ン。、]{1,3}",
        1 => "[xyzqKkſ\\u{212a}ßẞǄǅǆΣσς]{1,3}",
        1 => "\\PC",
        1 => proptest::char::any().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn texts_are_split_alike() {
    let pairs: Vec<_> = PATTERNS.iter().map(|pattern| both(pattern)).collect();
    let mut runner = TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&text(), |text| {
        for pair in &pairs {
            pair(&text);
        }
        Ok(())
    });
    outcome.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Patterns put together at random. An empty round ends a loop here, but not in the other's automata: loops hold no empty node.
    #[test]
    fn patterns_mean_the_same(pattern in pattern(), text in "[abcA-C \\n1é]{0,12}") {
        same(&pattern, &text);
    }

    #[test]
    fn nothing_panics(pattern in "[-ab()\\[\\]{}?*+|^$.\\\\pLdwsiux:=!<>#&~,0-9 é]{0,24}", text in "[ab é]{0,9}") {
        if let Ok(regex) = Regex::new(&pattern, false) {
            regex.find_iter(&text).for_each(drop);
        }
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        "[abcA1 é]",
        Just(r"\w".to_owned()),
        Just(r"\s".to_owned()),
        Just(r"\p{Lu}".to_owned()),
        "\\[\\^?[a-cB]{1,3}\\]",
        Just(".".to_owned()),
        Just("(?i:b)".to_owned())
    ];
    let place =
        prop_oneof![Just("^"), Just("$"), Just(r"\b"), Just(r"\B"), Just("(?!a)"), Just("(?=b)"), Just("(?<=a)"), Just("(?<!b)")];
    let node = atom.prop_recursive(4, 24, 4, move |node| {
        let repeated = (node.clone(), prop_oneof![Just("+"), Just("{2}"), Just("{1,2}"), Just("+?"), Just("{1,}"), Just("++")])
            .prop_map(|(node, times)| format!("(?:{node}){times}"));
        let optional = (node.clone(), prop_oneof![Just("?"), Just("??"), Just("?+")], node.clone())
            .prop_map(|(node, times, next)| format!("(?:{node}){times}{next}"));
        let atomic = node.clone().prop_map(|node| format!("(?>{node})"));
        let placed = (place.clone(), node.clone()).prop_map(|(place, node)| format!("{place}{node}"));
        prop_oneof![
            proptest::collection::vec(node.clone(), 2..4).prop_map(|nodes| nodes.concat()),
            proptest::collection::vec(node, 2..4).prop_map(|nodes| format!("({})", nodes.join("|"))),
            repeated,
            optional,
            atomic,
            placed,
        ]
    });
    node.boxed()
}
