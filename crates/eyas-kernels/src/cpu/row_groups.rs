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

/// Words and scales of a whole group.
pub(super) type GroupRows<'a> = (&'a [u32], &'a [f32]);

/// Rows of the group that begins at `row`.
pub(super) const fn rows_in_group(row: usize, rows: usize) -> usize {
    if rows - row < GROUP { rows - row } else { GROUP }
}

/// Brings words and scales from the order of [`WeightKind`] into groups, on their own memory; other kinds stay as they are.
pub(crate) fn arranged(mut words: Vec<u32>, mut scales: Vec<f32>, spec: MatrixSpec) -> (Vec<u32>, Vec<f32>) {
    if spec.kind.is_quantized() {
        arrange(&mut words, &mut scales, spec);
    }
    (words, scales)
}

#[inline(never)] // in a caller that is optimised for size it would be too
fn arrange(words: &mut [u32], scales: &mut [f32], spec: MatrixSpec) {
    let (row_words, blocks) = (spec.words_per_row(), spec.blocks_per_row());
    let mut old_words = Vec::with_capacity(GROUP * row_words);
    let mut old_scales = Vec::with_capacity(GROUP * blocks);
    for (words, scales) in words.chunks_mut(GROUP * row_words).zip(scales.chunks_mut(GROUP * blocks)) {
        let rows = scales.len() / blocks;
        old_words.clear();
        old_words.extend_from_slice(words);
        old_scales.clear();
        old_scales.extend_from_slice(scales);
        for block in 0..blocks {
            for row in 0..rows {
                scales[block * rows + row] = old_scales[row * blocks + block];
            }
        }
        match spec.kind {
            WeightKind::Q4 => {
                for (octet, units) in words.chunks_mut(rows).enumerate() {
                    for (row, unit) in units.iter_mut().enumerate() {
                        *unit = split_pairs(old_words[row * row_words + octet]);
                    }
                }
            }
            WeightKind::Q8 => {
                let from: &[u16] = bytemuck::cast_slice(&old_words);
                for (pair, units) in bytemuck::cast_slice_mut::<u32, u16>(words).chunks_mut(rows).enumerate() {
                    for (row, unit) in units.iter_mut().enumerate() {
                        *unit = from[row * row_words * 2 + pair];
                    }
                }
            }
            WeightKind::F32 | WeightKind::F16 | WeightKind::Bf16 => {}
        }
    }
}

/// Nibbles `0 1 2 3 4 5 6 7` to `0 2 4 6` in the low half and `1 3 5 7` in the high half.
fn split_pairs(word: u32) -> u32 {
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

    #[test]
    #[allow(clippy::float_cmp)] // the same product of the same two numbers
    fn a_row_comes_back_out_of_its_group() {
        for (kind, row_words) in [(WeightKind::Q8, 16), (WeightKind::Q4, 8)] {
            let spec = MatrixSpec { rows: 11, cols: 40, kind, has_bias: false };
            assert_eq!(spec.words_per_row(), row_words);
            let words: Vec<u32> = (0..11 * row_words as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
            let scales: Vec<f32> = (0..22).map(|i| i as f32 + 1.0).collect();
            let (mut grouped_words, mut grouped_scales) = (words.clone(), scales.clone());
            arrange(&mut grouped_words, &mut grouped_scales, spec);
            let groups = RowGroups { words: &grouped_words, scales: &grouped_scales, spec };
            for row in 0..11 {
                let mut out = [0.0; 64];
                groups.unpack(row, &mut out);
                for (column, value) in out.iter().enumerate() {
                    let scale = scales[row * 2 + column / 32];
                    let level = if kind == WeightKind::Q8 {
                        f32::from((words[row * row_words + column / 4] >> (column % 4 * 8)) as u8 as i8)
                    } else {
                        (words[row * row_words + column / 8] >> (column % 8 * 4) & 15) as f32 - 8.0
                    };
                    assert_eq!(*value, level * scale, "{kind:?} row {row} column {column}");
                }
            }
        }
    }
}
