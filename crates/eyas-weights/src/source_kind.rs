//! The formats in which tensors are stored.

use std::fmt;

use eyas_core::{BLOCK, WeightKind};

/// How a tensor's elements are stored in a file. All are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceKind {
    /// 32-bit IEEE floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats: the upper half of an `F32`.
    Bf16,
    /// ggml's blocks of 32: an `f16` scale, then 32 `i8`; weight = `scale * i8`.
    Q8_0,
    /// ggml's blocks of 32: an `f16` scale, then 16 bytes, whose low nibbles are columns 0–15 and whose high nibbles are
    /// columns 16–31; weight = `scale * (nibble - 8)`.
    Q4_0,
}

impl SourceKind {
    /// Every kind, for tests and reports.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// Elements of a block; a row is a whole number of blocks.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 => BLOCK,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 2 + BLOCK,
            Self::Q4_0 => 2 + BLOCK / 2,
        }
    }

    /// Bytes of a row with `cols` columns.
    pub const fn row_bytes(self, cols: usize) -> usize {
        cols.div_ceil(self.block_len()).saturating_mul(self.block_bytes())
    }

    /// The kind in which such a tensor is held without loss.
    pub const fn natural(self) -> WeightKind {
        match self {
            Self::F32 => WeightKind::F32,
            Self::F16 => WeightKind::F16,
            Self::Bf16 => WeightKind::Bf16,
            Self::Q8_0 => WeightKind::Q8,
            Self::Q4_0 => WeightKind::Q4,
        }
    }

    /// Whether elements are integers with a scale per block.
    pub const fn is_quantized(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(SourceKind::F32.row_bytes(3), 12);
        assert_eq!(SourceKind::Bf16.row_bytes(3), 6);
        assert_eq!(SourceKind::Q8_0.row_bytes(64), 68);
        assert_eq!(SourceKind::Q4_0.row_bytes(64), 36);
    }
}
