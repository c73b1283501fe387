//! One sort for every short list. The standard library's is compiled again for each type and each comparison, and a browser downloads every copy.

use std::cmp::Ordering;

/// Sorts `items` by `compare`, equal ones in the order in which they were. For lists that no token of an answer waits for: each comparison is a call.
///
/// ```
/// let mut words = ["three", "one", "two"];
/// eyas_core::sort_by(&mut words, |a, b| a.len().cmp(&b.len()));
/// assert_eq!(words, ["one", "two", "three"]);
/// ```
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut sources = sorted_indices(items.len(), &mut |a, b| compare(&items[a], &items[b]) == Ordering::Less);
    for start in 0..items.len() {
        // Along a cycle of moves every item is swapped to where it belongs.
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut sources[at], at);
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

/// Sorts `items` by their own order, equal ones in the order in which they were: [`sort_by`] has more.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// The indices below `len` such that of two neighbours the second is never `less` than the first, by a merge sort.
#[inline(never)]
fn sorted_indices(len: usize, less: &mut dyn FnMut(usize, usize) -> bool) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..len).collect();
    let mut merged = Vec::with_capacity(len);
    let mut width = 1;
    while width < len {
        for run in sorted.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
                if less(*b, *a) {
                    merged.push(*b);
                    right = right_rest;
                } else {
                    merged.push(*a);
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut sorted, &mut merged);
        merged.clear();
        width *= 2;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut state = 1_u32;
        for len in (0..70).chain([255, 256, 257, 1_000]) {
            for keys in [1, 3, 1_000_000] {
                let mut next = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) % keys
                };
                let items: Vec<(u32, usize)> = (0..len).map(|index| (next(), index)).collect();
                let mut expected = items.clone();
                expected.sort_by_key(|item| item.0);
                let mut found = items;
                sort_by(&mut found, |a, b| a.0.cmp(&b.0));
                assert_eq!(found, expected, "{len} items of {keys} keys");
            }
        }
    }

    #[test]
    fn items_that_cannot_be_copied_are_moved() {
        let mut names: Vec<String> = ["b", "c", "a", "b"].map(str::to_owned).to_vec();
        sort(&mut names);
        assert_eq!(names, ["a", "b", "b", "c"]);
    }
}
