//! The tree of a pattern.

use crate::char_set::CharSet;

/// One node of a pattern.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Matches nothing, everywhere.
    Empty,
    /// One character.
    Char(char),
    /// One character of a set.
    Set(CharSet),
    /// One place between characters.
    Assert(Assertion),
    /// One after the other.
    Concat(Vec<Node>),
    /// The first that matches.
    Alternatives(Vec<Node>),
    /// Again and again.
    Repeat {
        /// What is repeated.
        child: Box<Node>,
        /// At least so often.
        min: u32,
        /// At most so often; `u32::MAX` is unbounded.
        max: u32,
        /// As often as possible before as seldom as possible.
        greedy: bool,
    },
    /// Whatever matched at first is final.
    Atomic(Box<Node>),
    /// What must match (or must not, if `negative`) after this place (or before it, if `behind`).
    Look {
        /// What is looked for.
        child: Box<Node>,
        /// Whether it must not be there.
        negative: bool,
        /// Whether it ends here, rather than begins.
        behind: bool,
    },
}

/// A condition on a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assertion {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordBoundary,
    NotWordBoundary,
    WordStart,
    WordEnd,
}
