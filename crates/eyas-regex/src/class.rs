//! Reads what stands in brackets: ranges, classes, sets within sets, and the operations `&&`, `--` and `~~`.

use crate::{
    Error,
    char_set::CharSet,
    parser::{Escape, Parser},
    unicode,
};

/// Sets within sets.
const MAX_DEPTH: usize = 64;

/// One item: a character, which may begin a range, or a set.
enum Item {
    Char(char),
    Set(CharSet),
}

/// How two sets become one.
#[derive(Clone, Copy)]
enum Operation {
    Intersection,
    Difference,
    SymmetricDifference,
}

impl Operation {
    fn apply(self, left: &CharSet, right: &CharSet) -> CharSet {
        match self {
            Self::Intersection => left.intersection(right),
            Self::Difference => left.difference(right),
            Self::SymmetricDifference => left.symmetric_difference(right),
        }
    }
}

impl Parser<'_> {
    /// Reads what follows an opening bracket, with the closing one.
    pub(crate) fn class(&mut self) -> Result<CharSet, Error> {
        self.depth += 1;
        if self.depth >= MAX_DEPTH {
            return Err(self.error("classes are nested too deeply"));
        }
        let is_negated = self.skip("^");
        let mut set = CharSet::default();
        while self.skip("-") {
            set = set.union(&CharSet::single('-'));
        }
        // A bracket that comes first stands for itself.
        if set == CharSet::default() && self.skip("]") {
            set = CharSet::single(']');
        }
        let mut pending: Option<(CharSet, Operation)> = None;
        loop {
            let operation = if self.skip("]") {
                None
            } else if self.skip("&&") {
                Some(Operation::Intersection)
            } else if self.skip("--") {
                Some(Operation::Difference)
            } else if self.skip("~~") {
                Some(Operation::SymmetricDifference)
            } else {
                set = set.union(&self.item_or_range()?);
                continue;
            };
            if let Some((left, operation)) = pending.take() {
                let fold = |set: CharSet| self.finish_set(set, false);
                set = operation.apply(&fold(left), &fold(set));
            }
            match operation {
                Some(operation) => pending = Some((std::mem::take(&mut set), operation)),
                None => break,
            }
        }
        self.depth -= 1;
        Ok(self.finish_set(set, is_negated))
    }

    fn item_or_range(&mut self) -> Result<CharSet, Error> {
        if self.skip("[") {
            return match self.posix() {
                Some(set) => Ok(set),
                None => self.class(),
            };
        }
        let first = self.item()?;
        if !self.looks_at("-") || self.looks_at("-]") || self.looks_at("--") {
            return Ok(match first {
                Item::Char(c) => CharSet::single(c),
                Item::Set(set) => set,
            });
        }
        self.at += 1;
        match (first, self.item()?) {
            (Item::Char(first), Item::Char(last)) if first <= last => Ok(CharSet::range(first as u32, last as u32)),
            (Item::Char(_), Item::Char(_)) => Err(self.error("a range ends before it begins")),
            _ => Err(self.error("a range begins or ends with a class")),
        }
    }

    fn item(&mut self) -> Result<Item, Error> {
        match self.bump() {
            Some('\\') => match self.escape(true)? {
                Escape::Char(c) => Ok(Item::Char(c)),
                Escape::Set(set) => Ok(Item::Set(set)),
                Escape::Node(_) => Err(self.error("a class has something that is no character")),
            },
            Some(c) => Ok(Item::Char(c)),
            None => Err(self.error("a class has no closing bracket")),
        }
    }

    /// Reads `:name:]`; where it is none, stays where it was.
    fn posix(&mut self) -> Option<CharSet> {
        let start = self.at;
        if self.skip(":") {
            let is_negated = self.skip("^");
            let set = self.until(':').and_then(unicode::posix);
            if let Some(set) = set.filter(|_| self.skip("]")) {
                return Some(self.finish_set(set, is_negated));
            }
        }
        self.at = start;
        None
    }
}
