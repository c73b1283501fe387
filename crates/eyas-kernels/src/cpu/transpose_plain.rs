//! Eight rows brought side by side, in plain Rust. See `row_groups` for the layouts.

use super::row_groups::GROUP;
pub(super) use super::row_groups::split_pairs;

/// 4-bit weights of eight rows, `[8 rows][row_words]`, to `[row_words][8 rows]` with each word's pairs split.
pub(super) fn q4(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (octet, units) in to.chunks_exact_mut(GROUP).enumerate() {
        for (row, unit) in units.iter_mut().enumerate() {
            *unit = split_pairs(from[row * row_words + octet]);
        }
    }
}

/// 8-bit weights of eight rows, `[8 rows][2 · row_words]` pairs, to `[2 · row_words][8 rows]`.
pub(super) fn q8(from: &[u32], row_words: usize, to: &mut [u32]) {
    let from: &[u16] = bytemuck::cast_slice(from);
    for (pair, units) in bytemuck::cast_slice_mut::<u32, u16>(to).chunks_exact_mut(GROUP).enumerate() {
        for (row, unit) in units.iter_mut().enumerate() {
            *unit = from[row * row_words * 2 + pair];
        }
    }
}
