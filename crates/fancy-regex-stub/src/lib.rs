//! A stand-in for the `fancy-regex` crate over [`eyas_regex`], as far as the `tokenizers` crate uses it.
//!
//! What this does not do: captures, replacing and splitting. See docs/adr/0006-own-regex.md.

pub use eyas_regex::Error;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Regex(eyas_regex::Regex);

impl Regex {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self> {
        eyas_regex::Regex::new(pattern, false).map(Self)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the pattern matches somewhere.
    pub fn is_match(&self, text: &str) -> Result<bool> {
        Ok(self.0.find(text)?.is_some())
    }

    /// All matches; a search that takes too long is an error, and the last item.
    pub fn find_iter<'r, 't>(&'r self, text: &'t str) -> Matches<'r, 't> {
        Matches(self.0.find_iter(text))
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
    type Item = Result<Match<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.text();
        self.0.next().map(|found| found.map(|(start, end)| Match { text, start, end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_passed_on() {
        let regex = Regex::new(r"\s+(?!\S)|\s+").unwrap();
        let found: Vec<_> =
            regex.find_iter("a  b").map(|found| found.map(|found| (found.start(), found.end(), found.as_str()))).collect();
        assert_eq!(found, [Ok((1, 2, " ")), Ok((2, 3, " "))]);
        assert_eq!((regex.is_match("ab"), regex.as_str()), (Ok(false), r"\s+(?!\S)|\s+"));
        assert!(Regex::new("(").is_err());
    }
}
