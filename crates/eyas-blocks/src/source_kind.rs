//! The formats in which tensors are stored.

use std::fmt;

use eyas_core::{BLOCK, WeightKind};

/// Weights of a superblock of ggml's "K" formats.
pub(crate) const SUPERBLOCK: usize = 256;

/// How a tensor's elements are stored in a file. All are little-endian; the layouts of blocks are those of ggml's `ggml-common.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceKind {
    /// 32-bit IEEE floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats: the upper half of an `F32`.
    Bf16,
    /// 8-bit floats with 4 bits of exponent, 3 of mantissa and no infinity ("e4m3fn"), scaled by floats that the checkpoint holds as
    /// tensors of their own.
    F8E4M3,
    /// Blocks of 32: an `f16` scale, then 32 `i8`; weight = `scale * i8`.
    Q8_0,
    /// Blocks of 32: an `f16` scale, then 16 bytes, whose low nibbles are columns 0–15 and whose high nibbles are columns 16–31;
    /// weight = `scale * (nibble - 8)`.
    Q4_0,
    /// As `Q4_0` with an `f16` minimum behind the scale; weight = `scale * nibble + minimum`.
    Q4_1,
    /// As `Q4_0` with 32 fifth bits (a `u32`, column 0 lowest) behind the scale; weight = `scale * (integer - 16)`.
    Q5_0,
    /// As `Q5_0` with an `f16` minimum behind the scale; weight = `scale * integer + minimum`.
    Q5_1,
    /// As `Q4_0`, but a nibble is an index of [`IQ4_VALUES`](crate::IQ4_VALUES); weight = `scale * value`.
    Iq4Nl,
    /// Superblocks of 256 in 16 blocks of 16: 2-bit integers, 4-bit scales and 4-bit minima, an `f16` for all scales and one for all minima.
    Q2K,
    /// Superblocks of 256 in 16 blocks of 16: 3-bit integers, 6-bit scales, an `f16` for all scales.
    Q3K,
    /// Superblocks of 256 in 8 blocks of 32: 4-bit integers, 6-bit scales and minima, an `f16` for all scales and one for all minima.
    Q4K,
    /// As `Q4K` with 5-bit integers.
    Q5K,
    /// Superblocks of 256 in 16 blocks of 16: 6-bit integers, 8-bit scales, an `f16` for all scales.
    Q6K,
}

impl SourceKind {
    /// Every kind, for tests and reports.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::F8E4M3,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Iq4Nl,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Elements of a block; a row is a whole number of blocks.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::F8E4M3 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Iq4Nl => BLOCK,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => SUPERBLOCK,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::F8E4M3 => 1,
            Self::Q8_0 => 34,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row with `cols` columns.
    pub const fn row_bytes(self, cols: usize) -> usize {
        cols.div_ceil(self.block_len()).saturating_mul(self.block_bytes())
    }

    /// The kind in which such a tensor is held when nothing else is asked for: without loss where [`Self::is_exact`], otherwise in the
    /// nearest kind of no more than 16 bits.
    pub const fn natural(self) -> WeightKind {
        match self {
            Self::F32 => WeightKind::F32,
            Self::F16 => WeightKind::F16,
            Self::Bf16 | Self::F8E4M3 => WeightKind::Bf16,
            Self::Q4_0 => WeightKind::Q4,
            _ => WeightKind::Q8,
        }
    }

    /// Whether [`Self::natural`] holds every weight bit by bit. `Q5_0`, `IQ4_NL` and `Q3_K` are a scale times integers of 8 bits; the
    /// others that are not exact have minima, or two scales in 32 columns.
    pub const fn is_exact(self) -> bool {
        !matches!(self, Self::F8E4M3 | Self::Q4_1 | Self::Q5_1 | Self::Q2K | Self::Q4K | Self::Q5K | Self::Q6K)
    }

    /// Whether elements are integers with a scale per block.
    pub const fn is_quantized(self) -> bool {
        self.block_len() > 1
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Iq4Nl => "IQ4_NL",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
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
        assert_eq!(SourceKind::Q6K.row_bytes(512), 420);
    }

    #[test]
    fn nothing_is_held_in_32_bits_that_is_stored_in_fewer() {
        for kind in SourceKind::ALL {
            assert_eq!(kind.natural() == WeightKind::F32, kind == SourceKind::F32, "{kind}");
        }
    }
}
