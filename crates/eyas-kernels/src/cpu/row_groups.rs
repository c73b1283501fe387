//! How the CPU holds quantised matrices: eight rows side by side.
//!
//! A dot product of two vectors of `i16` pairs sums neighbours, so four rows fill a vector and no sum crosses lanes; the activations are one
//! pair that all lanes share. Rows are taken in groups of eight (the last group may be smaller), and inside a group the words of one block of
//! 32 columns lie together, for `r` rows:
//!
//! | kind | unit | order in a block | a unit holds |
//! | --- | --- | --- | --- |
//! | `Q4` | `u32` | `[4 octets of columns][r]` | columns `8o + 2n` in nibble `n` of the low half, `8o + 2n + 1` in nibble `n` of the high half |
//! | `Q8` | `u16` | `[16 pairs of columns][r]` | column `2p` in the low byte, `2p + 1` in the high byte |
//!
//! Scales are `[group][block][r]`. The number of words and scales is that of [`WeightKind`]'s own layout.

use eyas_core::{BLOCK, WeightKind};

use crate::MatrixSpec;

/// Rows of a whole group.
pub(super) const GROUP: usize = 8;

/// Words and scales of whole groups, one behind the other.
pub(super) type GroupRows<'a> = (&'a [u32], &'a [f32]);

/// Rows of the group that begins at `row`.
pub(super) const fn rows_in_group(row: usize, rows: usize) -> usize {
    if rows - row < GROUP { rows - row } else { GROUP }
}

/// Nibbles `0 1 2 3 4 5 6 7` to `0 2 4 6` in the low half and `1 3 5 7` in the high half.
pub(super) fn split_pairs(word: u32) -> u32 {
    let gather = |word: u32| {
        let ones = word & 0x0f0f_0f0f;
        let pairs = (ones | ones >> 4) & 0x00ff_00ff;
        (pairs | pairs >> 8) & 0xffff
    };
    gather(word) | gather(word >> 4) << 16
}

/// A matrix in groups.
#[derive(Clone, Copy)]
pub(super) struct RowGroups<'a> {
    pub(super) words: &'a [u32],
    pub(super) scales: &'a [f32],
    pub(super) spec: MatrixSpec,
}

impl RowGroups<'_> {
    /// Words and scales of the group that begins at `row`.
    pub(super) fn group(&self, row: usize) -> (&[u32], &[f32]) {
        let (words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        let rows = rows_in_group(row, self.spec.rows);
        (&self.words[row * words..][..rows * words], &self.scales[row * blocks..][..rows * blocks])
    }

    /// The same for a group that lacks rows, filled up to eight with rows of zero scale.
    pub(super) fn filled_group(&self, row: usize, words: &mut Vec<u32>, scales: &mut Vec<f32>) {
        let (from_words, from_scales) = self.group(row);
        let rows = rows_in_group(row, self.spec.rows);
        scales.clear();
        scales.extend(from_scales.chunks(rows).flat_map(|units| filled(units, 0.0)));
        words.clear();
        if self.spec.kind == WeightKind::Q8 {
            words.resize(GROUP * self.spec.words_per_row(), 0);
            let units = bytemuck::cast_slice_mut::<u32, u16>(words).chunks_mut(GROUP);
            for (to, from) in units.zip(bytemuck::cast_slice::<u32, u16>(from_words).chunks(rows)) {
                to[..rows].copy_from_slice(from);
            }
        } else {
            words.extend(from_words.chunks(rows).flat_map(|units| filled(units, 0)));
        }
    }

    /// Writes the columns of a row, padding included, into `out`, which has whole blocks.
    pub(super) fn unpack(&self, row: usize, out: &mut [f32]) {
        let (first, rows) = (row / GROUP * GROUP, rows_in_group(row / GROUP * GROUP, self.spec.rows));
        let (words, scales) = self.group(first);
        let row = row - first;
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let scale = scales[block * rows + row];
            if self.spec.kind == WeightKind::Q8 {
                let units: &[u16] = bytemuck::cast_slice(words);
                for (pair, out) in out.chunks_exact_mut(2).enumerate() {
                    let [low, high] = units[(block * (BLOCK / 2) + pair) * rows + row].to_le_bytes();
                    out[0] = f32::from(low as i8) * scale;
                    out[1] = f32::from(high as i8) * scale;
                }
            } else {
                for (octet, out) in out.chunks_exact_mut(8).enumerate() {
                    let unit = words[(block * (BLOCK / 8) + octet) * rows + row];
                    for (column, out) in out.iter_mut().enumerate() {
                        let nibble = unit >> (column % 2 * 16 + column / 2 * 4) & 15;
                        *out = (nibble as f32 - 8.0) * scale;
                    }
                }
            }
        }
    }
}

fn filled<T: Copy>(units: &[T], empty: T) -> [T; GROUP] {
    std::array::from_fn(|row| units.get(row).copied().unwrap_or(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_of_a_pair_stand_in_both_halves() {
        assert_eq!(split_pairs(0x7654_3210), 0x7531_6420);
    }
}
