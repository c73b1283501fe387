//! A quantised matrix on its way into groups of rows, as `row_groups` describes them.

use eyas_blocks::{SourceKind, pack_rows};
use eyas_core::WeightKind;

use super::{
    row_groups::{GROUP, rows_in_group},
    transpose,
};
use crate::{MatrixSpec, StoredRows};

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
        // Zeros that the allocator need not write where memory is new, as for most large matrices of a load.
        let words = vec![0; spec.rows * spec.words_per_row()];
        Self { spec, words, scales: vec![0.0; spec.rows * spec.blocks_per_row()], parted: Vec::new() }
    }

    /// Takes whole rows from `first` on: `words` is `[rows, words_per_row]` and `scales` `[rows, blocks_per_row]`.
    #[inline(never)] // in a caller that is optimised for size it would be too
    pub(crate) fn write(&mut self, first: usize, words: &[u32], scales: &[f32]) {
        let (row_words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        let end = first + words.len() / row_words.max(1);
        let mut row = first;
        while row < end {
            let Run { until, is_whole } = self.run(row, end);
            let from_words = &words[(row - first) * row_words..(until - first) * row_words];
            let from_scales = &scales[(row - first) * blocks..(until - first) * blocks];
            let spec = self.spec;
            let (to_words, to_scales) = self.room(row, until);
            if is_whole {
                arrange(from_words, from_scales, to_words, to_scales, spec);
            } else {
                to_words.copy_from_slice(from_words);
                to_scales.copy_from_slice(from_scales);
                if spec.kind.is_quantized() {
                    self.parted.push(row - row % GROUP);
                }
            }
            row = until;
        }
    }

    /// Takes whole rows from `first` on as they are stored, so that they are gone through once. Answers `false` where they have to be packed before: blocks
    /// that are not held bit by bit in groups, a scale that is not finite. What was taken by then may be written again by [`Self::write`].
    #[inline(never)] // as above
    pub(crate) fn write_stored(&mut self, first: usize, stored: &StoredRows<'_>) -> bool {
        let arrange = match (stored.source, self.spec.kind) {
            (SourceKind::Q4_0, WeightKind::Q4) => transpose::q4_0,
            (SourceKind::Q8_0, WeightKind::Q8) => transpose::q8_0,
            _ => return false,
        };
        let row_bytes = stored.source.row_bytes(self.spec.cols);
        let rows = stored.bytes.chunks_exact(row_bytes.max(1));
        if !self.spec.cols.is_multiple_of(stored.source.block_len()) || !rows.remainder().is_empty() {
            return false;
        }
        let end = first + rows.len();
        let stored_row = |row: usize| &stored.bytes[(stored.order)(row - first) * row_bytes..][..row_bytes];
        let mut row = first;
        while row < end {
            let Run { until, is_whole } = self.run(row, end);
            if is_whole && until - row == GROUP {
                let (words, scales) = self.room(row, until);
                if !arrange(std::array::from_fn(|at| stored_row(row + at)), words, scales) {
                    return false;
                }
            } else {
                let bytes: Vec<u8> = (row..until).flat_map(stored_row).copied().collect();
                let Ok(packed) = pack_rows(stored.source, &bytes, until - row, self.spec.cols, self.spec.kind) else {
                    return false;
                };
                self.write(row, &packed.words, &packed.scales);
            }
            row = until;
        }
        true
    }

    /// How far rows of one group go from `row` on, of rows that end at `end`.
    fn run(&self, row: usize, end: usize) -> Run {
        let group = row - row % GROUP;
        let group_end = group + rows_in_group(group, self.spec.rows);
        let until = group_end.min(end);
        Run { until, is_whole: row == group && until == group_end && self.spec.kind.is_quantized() }
    }

    /// Where these rows belong.
    fn room(&mut self, row: usize, until: usize) -> (&mut [u32], &mut [f32]) {
        let (row_words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        (&mut self.words[row * row_words..until * row_words], &mut self.scales[row * blocks..until * blocks])
    }

    /// Words and scales in groups, once all rows have come. Kinds without groups stay as they are.
    pub(crate) fn finish(mut self) -> (Vec<u32>, Vec<f32>) {
        let (row_words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
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

/// Rows of one group that come together.
struct Run {
    /// Behind the last of them.
    until: usize,
    /// Whether it is all rows of a group.
    is_whole: bool,
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
    fn stored_rows_become_what_packed_ones_become() {
        for (source, kind) in [(SourceKind::Q4_0, WeightKind::Q4), (SourceKind::Q8_0, WeightKind::Q8)] {
            let spec = MatrixSpec { rows: 27, cols: 96, kind, has_bias: false };
            let row_bytes = source.row_bytes(96);
            let mut bytes: Vec<u8> = (0..27 * row_bytes as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
            for (at, block) in bytes.chunks_mut(source.block_bytes()).enumerate() {
                // Normal and subnormal halves of either sign, and zero.
                block[..2].copy_from_slice(&[0x0000_u16, 0x8001, 0x03ff, 0x3c01, 0xfbff, 0x0400][at % 6].to_le_bytes());
            }
            let backwards = |rows: usize| move |row: usize| rows - 1 - row;
            for parts in [&[(0, 27)][..], &[(0, 8), (8, 27)], &[(0, 3), (3, 17), (17, 27)], &[(24, 27), (5, 24), (0, 5)]] {
                let (mut stored, mut packed) = (GroupedRows::new(spec), GroupedRows::new(spec));
                for &(first, end) in parts {
                    let bytes = &bytes[first * row_bytes..end * row_bytes];
                    let order = backwards(end - first);
                    assert!(stored.write_stored(first, &StoredRows { source, bytes, order: &order }));
                    let turned: Vec<u8> = bytes.chunks(row_bytes).rev().flatten().copied().collect();
                    let rows = pack_rows(source, &turned, end - first, 96, kind).unwrap();
                    packed.write(first, &rows.words, &rows.scales);
                }
                let bits =
                    |(words, scales): (Vec<u32>, Vec<f32>)| (words, scales.into_iter().map(f32::to_bits).collect::<Vec<_>>());
                assert_eq!(bits(stored.finish()), bits(packed.finish()), "{source} in {parts:?}");
            }
            for row in [0, 26] {
                let mut damaged = bytes.clone();
                damaged[row * row_bytes + source.block_bytes()..][..2].copy_from_slice(&[0x01, 0x7c]);
                assert!(!GroupedRows::new(spec).write_stored(0, &StoredRows { source, bytes: &damaged, order: &|row| row }));
            }
            let other = MatrixSpec { kind: WeightKind::F16, ..spec };
            assert!(!GroupedRows::new(other).write_stored(0, &StoredRows { source, bytes: &bytes, order: &|row| row }));
            let cut = &bytes[..=row_bytes];
            assert!(!GroupedRows::new(spec).write_stored(0, &StoredRows { source, bytes: cut, order: &|row| row }));
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
