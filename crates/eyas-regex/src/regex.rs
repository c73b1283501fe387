//! The public face.

use std::sync::Arc;

use crate::{Error, matcher::Matcher, parser, program::Program};

/// A compiled pattern. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Regex {
    program: Arc<Program>,
    pattern: Arc<str>,
}

impl Regex {
    /// Compiles a pattern, which may begin with `ignore_case` switched on. Fails where the pattern is malformed, too large, or needs
    /// captures.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, Error> {
        let program = Program::new(&parser::parse(pattern, ignore_case)?)?;
        Ok(Self { program: Arc::new(program), pattern: pattern.into() })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The leftmost match, as the byte places where it starts and ends. Fails where a search takes too long.
    pub fn find(&self, text: &str) -> Result<Option<(usize, usize)>, Error> {
        Matcher::new(&self.program, text).find(0)
    }

    /// All matches, one behind the other. An empty match never follows another match at once. After an error there is nothing more.
    pub fn find_iter<'r, 't>(&'r self, text: &'t str) -> Matches<'r, 't> {
        Matches { matcher: Matcher::new(&self.program, text), next: Some(0), last_end: None }
    }
}

/// The iterator of [`Regex::find_iter`].
#[derive(Debug)]
pub struct Matches<'r, 't> {
    matcher: Matcher<'r, 't>,
    /// Where the next search begins, `None` at the end.
    next: Option<usize>,
    last_end: Option<usize>,
}

impl<'t> Matches<'_, 't> {
    /// The text that is searched.
    pub fn text(&self) -> &'t str {
        self.matcher.text()
    }
}

impl Iterator for Matches<'_, '_> {
    type Item = Result<(usize, usize), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (start, end) = match self.matcher.find(self.next.take()?) {
                Ok(found) => found?,
                Err(error) => return Some(Err(error)),
            };
            self.next = if start == end {
                let rest = self.text().get(end..).and_then(|rest| rest.chars().next());
                rest.map(|c| end + c.len_utf8())
            } else {
                Some(end)
            };
            if start == end && self.last_end == Some(end) {
                continue;
            }
            self.last_end = Some(end);
            return Some(Ok((start, end)));
        }
    }
}

/// A pattern that matches a text literally.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation()
            && !matches!(c, '_' | '<' | '>' | '"' | '%' | '\'' | ',' | '/' | ':' | ';' | '=' | '@' | '!' | '`')
        {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
