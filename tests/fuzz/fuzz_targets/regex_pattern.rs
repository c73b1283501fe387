//! Compiles any text as a regular expression and searches with what is accepted.
#![no_main]

use eyas_regex::Regex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pattern: &str| {
    let Ok(regex) = Regex::new(pattern, false) else { return };
    let text = "It's 12,345 caf\u{e9}s  \r\n\t aaaaaaaaab \u{6c49}\u{5b57} \u{1f600} [x^y]";
    let mut end = 0;
    for (start, stop) in regex.find_iter(text).map_while(Result::ok) {
        assert!(start >= end && stop >= start && text.get(start..stop).is_some());
        end = stop;
    }
});
