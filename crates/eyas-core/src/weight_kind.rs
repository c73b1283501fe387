//! How a matrix is laid out in memory once it is loaded: the contract between the packer and the kernels.

use serde::{Deserialize, Serialize};

/// Weights of a quantised block along a row.
pub const BLOCK: usize = 32;

/// The kind in which a matrix `[rows, cols]` is held and multiplied.
///
/// Every row is a whole number of little-endian `u32` words, and is padded with zeros to that:
///
/// | kind | a word holds | row padded to | scales |
/// | --- | --- | --- | --- |
/// | `F32` | one `f32` | 1 column | none |
/// | `F16` | two `f16`, the lower column in the low half | 2 columns | none |
/// | `Bf16` | two `bf16`, the lower column in the low half | 2 columns | none |
/// | `Q8` | four `i8`, the lowest column in the low byte; weight = `scale * i8` | 32 columns | one `f32` per block of 32 |
/// | `Q4` | eight nibbles; word `w` (0–3) of a block: nibble `j` (bits `4j..4j+4`) is column `8w + j`; weight = `scale * (nibble - 8)` | 32 columns | one `f32` per block of 32 |
///
/// `words` is `[rows, words_per_row]`, `scales` is `[rows, blocks_per_row]`, both row-major. A padding column of `Q4` holds nibble 8, so
/// that every padding weight is exactly zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightKind {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats.
    Bf16,
    /// 8-bit integers with a scale per block.
    Q8,
    /// 4-bit integers with a scale per block.
    Q4,
}

impl WeightKind {
    /// Every kind, for tests and reports.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q4];

    /// `u32` words of a row with `cols` columns.
    pub const fn words_per_row(self, cols: usize) -> usize {
        match self {
            Self::F32 => cols,
            Self::F16 | Self::Bf16 => cols.div_ceil(2),
            Self::Q8 => cols.div_ceil(BLOCK) * (BLOCK / 4),
            Self::Q4 => cols.div_ceil(BLOCK) * (BLOCK / 8),
        }
    }

    /// Scales of a row with `cols` columns; 0 where the kind has none.
    pub const fn blocks_per_row(self, cols: usize) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 0,
            Self::Q8 | Self::Q4 => cols.div_ceil(BLOCK),
        }
    }

    /// Bytes that a matrix takes in memory, words and scales together.
    pub const fn matrix_bytes(self, rows: usize, cols: usize) -> u64 {
        rows as u64 * (self.words_per_row(cols) + self.blocks_per_row(cols)) as u64 * 4
    }

    /// The name as files and JavaScript write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Whether weights are integers with scales.
    pub const fn is_quantized(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_off_the_block_grid_are_padded() {
        assert_eq!(WeightKind::F16.words_per_row(5), 3);
        assert_eq!(WeightKind::Q8.words_per_row(33), 16);
        assert_eq!(WeightKind::Q4.words_per_row(172), 24);
        assert_eq!(WeightKind::Q4.blocks_per_row(172), 6);
        assert_eq!(WeightKind::Q4.matrix_bytes(2, 32), 2 * (16 + 4));
    }
}
