//! A small regular-expression engine with look-around, for the patterns by which tokenizers split text.
//!
//! It reads the syntax of `fancy-regex` and finds the same matches: leftmost, first alternative first, over Unicode. It stands in for that crate and for `regex` (see
//! docs/adr/0006-own-regex.md), whose automata weigh ten times as much in a browser.
//!
//! What it does not do: no captures, so no back-references, subroutines or conditions; no `\K`, `\G` and `\b{…}`; of Unicode's properties
//! only general categories, scripts, `\w`, `\s`, `\d` and a few more. A pattern that needs any of these is refused. A search in a long
//! text without a match takes up to quadratic time, and is given up after a million steps and 64 a byte.
//!
//! ```
//! let regex = eyas_regex::Regex::new(r"\p{L}+|\s+(?!\S)", false)?;
//! let text = "deux mots  ";
//! let found: Result<Vec<_>, _> = regex.find_iter(text).collect();
//! assert_eq!(found?, [(0, 4), (5, 9), (9, 11)]);
//! # Ok::<(), eyas_regex::Error>(())
//! ```

mod char_set;
mod class;
mod error;
mod matcher;
mod parser;
mod program;
mod regex;
mod syntax;
mod tables;
mod unicode;

pub use error::Error;
pub use regex::{Matches, Regex, escape};
