//! A stand-in for the `regex` crate over [`eyas_regex`], as far as crates in this workspace's graph use it.
//!
//! What this does not do: captures, splitting, sets and bytes; nor does it promise linear time: a search that takes too long finds nothing.
//! See docs/adr/0006-own-regex.md.

use std::borrow::Cow;

pub use eyas_regex::{Error, escape};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Regex(eyas_regex::Regex);

impl Regex {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        eyas_regex::Regex::new(pattern, false).map(Self)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the pattern matches somewhere.
    pub fn is_match(&self, text: &str) -> bool {
        matches!(self.0.find(text), Ok(Some(_)))
    }

    /// The leftmost match.
    pub fn find<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        self.0.find(text).ok().flatten().map(|(start, end)| Match { text, start, end })
    }

    /// All matches.
    pub fn find_iter<'r, 't>(&'r self, text: &'t str) -> Matches<'r, 't> {
        Matches(self.0.find_iter(text))
    }

    /// The text with its first match replaced by `with`, in which `$` means nothing.
    pub fn replace<'t>(&self, text: &'t str, with: &str) -> Cow<'t, str> {
        replaced(text, with, self.find_iter(text).take(1))
    }

    /// The text with all matches replaced by `with`, in which `$` means nothing.
    pub fn replace_all<'t>(&self, text: &'t str, with: &str) -> Cow<'t, str> {
        replaced(text, with, self.find_iter(text))
    }
}

fn replaced<'t>(text: &'t str, with: &str, matches: impl Iterator<Item = Match<'t>>) -> Cow<'t, str> {
    let (mut replaced, mut kept) = (String::new(), 0);
    for found in matches {
        replaced.push_str(&text[kept..found.start]);
        replaced.push_str(with);
        kept = found.end;
    }
    if kept == 0 && replaced.is_empty() {
        return Cow::Borrowed(text);
    }
    replaced.push_str(&text[kept..]);
    Cow::Owned(replaced)
}

/// Compiles patterns with options.
#[derive(Debug, Clone)]
pub struct RegexBuilder {
    pattern: String,
    ignore_case: bool,
}

impl RegexBuilder {
    /// Begins with a pattern and no options.
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), ignore_case: false }
    }

    /// Whether letters match without regard to case.
    pub fn case_insensitive(&mut self, yes: bool) -> &mut Self {
        self.ignore_case = yes;
        self
    }

    /// Compiles the pattern.
    pub fn build(&self) -> Result<Regex, Error> {
        eyas_regex::Regex::new(&self.pattern, self.ignore_case).map(Regex)
    }
}

/// Where a pattern matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

impl<'t> Match<'t> {
    /// The byte where it starts.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The byte behind its end.
    pub fn end(&self) -> usize {
        self.end
    }

    /// What matched.
    pub fn as_str(&self) -> &'t str {
        &self.text[self.start..self.end]
    }
}

/// The iterator of [`Regex::find_iter`].
#[derive(Debug)]
pub struct Matches<'r, 't>(eyas_regex::Matches<'r, 't>);

impl<'t> Iterator for Matches<'_, 't> {
    type Item = Match<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.text();
        let (start, end) = self.0.next()?.ok()?;
        Some(Match { text, start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_found_and_replaced() {
        let word = Regex::new(r"\w+").unwrap();
        assert_eq!(word.find(" été ").map(|found| (found.start(), found.end(), found.as_str())), Some((1, 6, "été")));
        assert_eq!(word.find_iter("a b").map(|found| found.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(word.replace_all("a b", "$1"), "$1 $1");
        assert_eq!(word.replace("a b", ""), " b");
        assert!(matches!(word.replace_all("--", "x"), Cow::Borrowed("--")));
        assert!(RegexBuilder::new("^con$").case_insensitive(true).build().unwrap().is_match("CON"));
        assert!(!Regex::new("^con$").unwrap().is_match("CON"));
        assert_eq!(escape("a.b"), r"a\.b");
    }
}
