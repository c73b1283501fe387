//! The packed layout back to floats: the reference against which kernels are tested.

use eyas_core::{BLOCK, WeightKind};
use half::{bf16, f16};

/// The weights of a packed matrix, `[rows, cols]` row-major; the plain reading of [`WeightKind`]'s table, made to be read, not to be fast.
///
/// # Panics
///
/// Where `words` or `scales` have another length than the kind needs for so many rows and columns.
pub fn unpack_rows(kind: WeightKind, words: &[u32], scales: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let words_per_row = kind.words_per_row(cols);
    let blocks_per_row = kind.blocks_per_row(cols);
    assert_eq!(words.len(), rows * words_per_row, "words of {rows} rows of {cols} columns in {kind:?}");
    assert_eq!(scales.len(), rows * blocks_per_row, "scales of {rows} rows of {cols} columns in {kind:?}");
    if cols == 0 {
        return Vec::new();
    }
    let mut weights = Vec::with_capacity(rows * cols);
    for row in 0..rows {
        let words = &words[row * words_per_row..][..words_per_row];
        let scales = &scales[row * blocks_per_row..][..blocks_per_row];
        for col in 0..cols {
            weights.push(match kind {
                WeightKind::F32 => f32::from_bits(words[col]),
                WeightKind::F16 => f16::from_bits((words[col / 2] >> (16 * (col % 2))) as u16).to_f32(),
                WeightKind::Bf16 => bf16::from_bits((words[col / 2] >> (16 * (col % 2))) as u16).to_f32(),
                WeightKind::Q8 => scales[col / BLOCK] * f32::from((words[col / 4] >> (8 * (col % 4))) as i8),
                WeightKind::Q4 => scales[col / BLOCK] * (((words[col / 8] >> (4 * (col % 8))) & 15) as f32 - 8.0),
            });
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_by_hand() {
        assert_eq!(unpack_rows(WeightKind::F32, &[1.5f32.to_bits()], &[], 1, 1), [1.5]);
        assert_eq!(unpack_rows(WeightKind::F16, &[0xC000_3C00, 0x3C00], &[], 1, 3), [1.0, -2.0, 1.0]);
        assert_eq!(unpack_rows(WeightKind::Bf16, &[0x3F80, 0xBF80], &[], 2, 1), [1.0, -1.0]);
        assert_eq!(unpack_rows(WeightKind::Q8, &[0x7F_80_FF_01, 0, 0, 0, 0, 0, 0, 0], &[2.0], 1, 4), [2.0, -2.0, -256.0, 254.0]);
        assert_eq!(unpack_rows(WeightKind::Q4, &[0x98_F0, 0, 0, 0], &[-2.0], 1, 4), [16.0, -14.0, 0.0, -2.0]);
    }
}
