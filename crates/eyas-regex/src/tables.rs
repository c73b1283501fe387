//! Reads the tables that `build.rs` writes.
//!
//! Numbers are little-endian base-128 varints. A list of ranges is the gap before each range and its length less one. Runs are a count, as many class
//! numbers of one byte (255: none), and as many lengths. Case folding is a list of gap, count and stride (`count << 1 | stride - 1`), and
//! distance to the least character of the orbit.

use crate::char_set::CharSet;

/// Reads numbers from a table.
struct Numbers(&'static [u8]);

impl Numbers {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn next(&mut self) -> Option<u32> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }
}

/// The set of a list of ranges.
pub(crate) fn ranges(table: &'static [u8]) -> CharSet {
    let (mut numbers, mut set, mut at) = (Numbers(table), CharSet::default(), 0);
    while let (Some(gap), Some(length)) = (numbers.next(), numbers.next()) {
        set.push(at + gap, at + gap + length);
        at += gap + length + 1;
    }
    set
}

/// The set of those runs whose class is wanted.
pub(crate) fn runs(table: &'static [u8], wanted: impl Fn(u8) -> bool) -> CharSet {
    let mut numbers = Numbers(table);
    let count = numbers.next().unwrap_or(0) as usize;
    let (classes, lengths) = numbers.0.split_at_checked(count).unwrap_or_default();
    let (mut numbers, mut set, mut at) = (Numbers(lengths), CharSet::default(), 0);
    for &class in classes {
        let length = numbers.next().unwrap_or(0);
        if wanted(class) && length > 0 {
            set.push(at, at + length - 1);
        }
        at += length;
    }
    set
}

/// Every character that is not the least of its case-folding orbit, with the least; ascending.
pub(crate) fn folding() -> Vec<(u32, u32)> {
    let mut numbers = Numbers(include_bytes!(concat!(env!("OUT_DIR"), "/folding")));
    let (mut pairs, mut at) = (Vec::new(), 0);
    while let (Some(gap), Some(count), Some(distance)) = (numbers.next(), numbers.next(), numbers.next()) {
        at += gap;
        pairs.extend((0..count >> 1).map(|index| {
            let code = at + index * ((count & 1) + 1);
            (code, code - distance)
        }));
    }
    pairs
}

/// The runs of general categories.
pub(crate) static CATEGORIES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/categories"));

/// The runs of scripts.
pub(crate) static SCRIPTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scripts"));
