//! Sets of characters.

/// A set of code points as ranges, both ends included, ascending and apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CharSet {
    ranges: Vec<(u32, u32)>,
}

const LAST: u32 = char::MAX as u32;

impl CharSet {
    /// All from `first` to `last`.
    pub(crate) fn range(first: u32, last: u32) -> Self {
        Self { ranges: vec![(first, last)] }
    }

    /// One character.
    pub(crate) fn single(c: char) -> Self {
        Self::range(c as u32, c as u32)
    }

    /// Adds a range that begins behind all others.
    pub(crate) fn push(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some(end) if first <= end.1 + 1 => end.1 = end.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// What is in one of the two.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.ranges.as_slice(), other.ranges.as_slice());
        let mut union = Self::default();
        loop {
            let side = match (left.first(), right.first()) {
                (Some(a), Some(b)) if a.0 <= b.0 => &mut left,
                (_, Some(_)) => &mut right,
                (Some(_), None) => &mut left,
                (None, None) => return union,
            };
            if let Some((range, rest)) = side.split_first() {
                union.push(range.0, range.1);
                *side = rest;
            }
        }
    }

    /// What is not in it.
    pub(crate) fn negated(&self) -> Self {
        let (mut negated, mut next) = (Self::default(), 0);
        for &(first, last) in &self.ranges {
            if first > next {
                negated.push(next, first - 1);
            }
            next = last + 1;
        }
        if next <= LAST {
            negated.push(next, LAST);
        }
        negated
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.negated().union(&other.negated()).negated()
    }

    /// What is in this one only.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.negated())
    }

    /// What is in exactly one of the two.
    pub(crate) fn symmetric_difference(&self, other: &Self) -> Self {
        self.difference(other).union(&other.difference(self))
    }

    /// Whether a code point is in it.
    pub(crate) fn contains(&self, code: u32) -> bool {
        let (mut low, mut high) = (0, self.ranges.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.ranges.get(middle) {
                Some(&(_, last)) if last < code => low = middle + 1,
                Some(&(first, _)) if first > code => high = middle,
                found => return found.is_some(),
            }
        }
        false
    }

    /// One bit for each ASCII character.
    pub(crate) fn ascii_bits(&self) -> u128 {
        (0..128).filter(|&code| self.contains(code)).fold(0, |bits, code| bits | 1 << code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u32, u32)]) -> CharSet {
        CharSet { ranges: ranges.to_vec() }
    }

    #[test]
    fn sets_are_combined() {
        let (a, b) = (set(&[(1, 3), (7, 9)]), set(&[(2, 4), (5, 5), (20, 30)]));
        assert_eq!(a.union(&b), set(&[(1, 5), (7, 9), (20, 30)]));
        assert_eq!(a.intersection(&b), set(&[(2, 3)]));
        assert_eq!(a.difference(&b), set(&[(1, 1), (7, 9)]));
        assert_eq!(a.symmetric_difference(&b), set(&[(1, 1), (4, 5), (7, 9), (20, 30)]));
        assert_eq!(a.negated(), set(&[(0, 0), (4, 6), (10, LAST)]));
        assert_eq!(CharSet::default().negated().negated(), CharSet::default());
    }

    #[test]
    fn members_are_found() {
        let a = set(&[(65, 70), (97, 97), (0x4e00, 0x9fff)]);
        let members = [64, 65, 70, 71, 97, 98, 0x4dff, 0x4e00, 0x9fff, 0xa000].map(|code| a.contains(code));
        assert_eq!(members, [false, true, true, false, true, false, false, true, true, false]);
        assert_eq!(a.ascii_bits(), 0b11_1111 << 65 | 1 << 97);
    }
}
