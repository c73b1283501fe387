//! What can go wrong.

use std::fmt;

/// Why a pattern was refused or a search was given up.
///
/// It is no `eyas_core::Error`, since this crate lies below others' crates, which wrap what they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    what: &'static str,
    at: Option<usize>,
}

impl Error {
    pub(crate) fn syntax(what: &'static str, at: usize) -> Self {
        Self { what, at: Some(at) }
    }

    pub(crate) fn search(what: &'static str) -> Self {
        Self { what, at: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "regular expression, byte {at}: {}", self.what),
            None => write!(f, "regular expression: {}", self.what),
        }
    }
}

impl std::error::Error for Error {}
