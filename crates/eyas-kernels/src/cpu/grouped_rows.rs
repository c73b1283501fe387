//! A quantised matrix on its way into groups of rows, as `row_groups` describes them.

use eyas_core::WeightKind;

use super::{
    row_groups::{GROUP, rows_in_group},
    transpose,
};
use crate::MatrixSpec;

/// A matrix of which rows arrive in any order, each once. Whole groups go to their place at once; rows of others wait there in the order of
/// [`WeightKind`] until all have come.
pub(crate) struct GroupedRows {
    spec: MatrixSpec,
    words: Vec<u32>,
    scales: Vec<f32>,
    /// First rows of groups that came in parts.
    parted: Vec<usize>,
}

impl GroupedRows {
    pub(crate) fn new(spec: MatrixSpec) -> Self {
        let words = Vec::with_capacity(spec.rows * spec.words_per_row());
        Self { spec, words, scales: Vec::with_capacity(spec.rows * spec.blocks_per_row()), parted: Vec::new() }
    }

    /// Takes whole rows from `first` on: `words` is `[rows, words_per_row]` and `scales` `[rows, blocks_per_row]`.
    #[inline(never)] // in a caller that is optimised for size it would be too
    pub(crate) fn write(&mut self, first: usize, words: &[u32], scales: &[f32]) {
        let (row_words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        let end = first + words.len() / row_words.max(1);
        // Only what is about to be written is touched, which is not the memory of a whole matrix.
        self.words.resize(self.words.len().max(end * row_words), 0);
        self.scales.resize(self.scales.len().max(end * blocks), 0.0);
        let mut row = first;
        while row < end {
            let group = row - row % GROUP;
            let group_end = group + rows_in_group(group, self.spec.rows);
            let until = group_end.min(end);
            let is_whole = row == group && until == group_end && self.spec.kind.is_quantized();
            let from_words = &words[(row - first) * row_words..(until - first) * row_words];
            let from_scales = &scales[(row - first) * blocks..(until - first) * blocks];
            let to_words = &mut self.words[row * row_words..until * row_words];
            let to_scales = &mut self.scales[row * blocks..until * blocks];
            if is_whole {
                arrange(from_words, from_scales, to_words, to_scales, self.spec);
            } else {
                to_words.copy_from_slice(from_words);
                to_scales.copy_from_slice(from_scales);
                if self.spec.kind.is_quantized() {
                    self.parted.push(group);
                }
            }
            row = until;
        }
    }

    /// Words and scales in groups, once all rows have come. Kinds without groups stay as they are.
    pub(crate) fn finish(mut self) -> (Vec<u32>, Vec<f32>) {
        let (row_words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        self.words.resize(self.spec.rows * row_words, 0);
        self.scales.resize(self.spec.rows * blocks, 0.0);
        self.parted.sort_unstable();
        self.parted.dedup();
        for group in self.parted {
            let end = group + rows_in_group(group, self.spec.rows);
            let words = &mut self.words[group * row_words..end * row_words];
            let scales = &mut self.scales[group * blocks..end * blocks];
            let (from_words, from_scales) = (words.to_vec(), scales.to_vec());
            arrange(&from_words, &from_scales, words, scales, self.spec);
        }
        (self.words, self.scales)
    }
}

/// Brings the rows of one group from the order of [`WeightKind`] into that of groups.
#[inline]
fn arrange(from_words: &[u32], from_scales: &[f32], words: &mut [u32], scales: &mut [f32], spec: MatrixSpec) {
    let (row_words, blocks) = (spec.words_per_row(), spec.blocks_per_row());
    let rows = scales.len() / blocks;
    for (block, scales) in scales.chunks_exact_mut(rows).enumerate() {
        for (row, scale) in scales.iter_mut().enumerate() {
            *scale = from_scales[row * blocks + block];
        }
    }
    match spec.kind {
        WeightKind::Q4 if rows == GROUP => transpose::q4(from_words, row_words, words),
        WeightKind::Q8 if rows == GROUP => transpose::q8(from_words, row_words, words),
        WeightKind::Q4 => {
            for (octet, units) in words.chunks_exact_mut(rows).enumerate() {
                for (row, unit) in units.iter_mut().enumerate() {
                    *unit = transpose::split_pairs(from_words[row * row_words + octet]);
                }
            }
        }
        WeightKind::Q8 => {
            let from: &[u16] = bytemuck::cast_slice(from_words);
            for (pair, units) in bytemuck::cast_slice_mut::<u32, u16>(words).chunks_exact_mut(rows).enumerate() {
                for (row, unit) in units.iter_mut().enumerate() {
                    *unit = from[row * row_words * 2 + pair];
                }
            }
        }
        WeightKind::F32 | WeightKind::F16 | WeightKind::Bf16 => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{super::row_groups::RowGroups, *};

    #[test]
    #[allow(clippy::float_cmp)] // the same product of the same two numbers
    fn a_row_comes_back_out_of_its_group_however_rows_came() {
        for (kind, row_words) in [(WeightKind::Q8, 16), (WeightKind::Q4, 8)] {
            let spec = MatrixSpec { rows: 19, cols: 40, kind, has_bias: false };
            assert_eq!(spec.words_per_row(), row_words);
            let words: Vec<u32> = (0..19 * row_words as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
            let scales: Vec<f32> = (0..38).map(|i| i as f32 + 1.0).collect();
            // Whole; whole groups; groups in parts; the last rows first.
            for parts in [&[(0, 19)][..], &[(0, 8), (8, 19)], &[(0, 3), (3, 17), (17, 19)], &[(16, 19), (5, 16), (0, 5)]] {
                let mut grouped = GroupedRows::new(spec);
                for &(first, end) in parts {
                    grouped.write(first, &words[first * row_words..end * row_words], &scales[first * 2..end * 2]);
                }
                let (grouped_words, grouped_scales) = grouped.finish();
                let groups = RowGroups { words: &grouped_words, scales: &grouped_scales, spec };
                for row in 0..19 {
                    let mut out = [0.0; 64];
                    groups.unpack(row, &mut out);
                    for (column, value) in out.iter().enumerate() {
                        let scale = scales[row * 2 + column / 32];
                        let level = if kind == WeightKind::Q8 {
                            f32::from((words[row * row_words + column / 4] >> (column % 4 * 8)) as u8 as i8)
                        } else {
                            (words[row * row_words + column / 8] >> (column % 8 * 4) & 15) as f32 - 8.0
                        };
                        assert_eq!(*value, level * scale, "{kind:?} row {row} column {column} of {parts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_kinds_stay_as_they_are() {
        let spec = MatrixSpec { rows: 9, cols: 3, kind: WeightKind::F32, has_bias: false };
        let words: Vec<u32> = (0..27).collect();
        let mut rows = GroupedRows::new(spec);
        rows.write(4, &words[12..], &[]);
        rows.write(0, &words[..12], &[]);
        assert_eq!(rows.finish(), (words, Vec::new()));
    }
}
