//! The static shape of a packed matrix and of the product with it.

use eyas_core::{BLOCK, WeightKind};

/// What is applied to values between two products, or to the gate of a gated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x · sigmoid(x)` (arXiv 1702.03118).
    Silu,
    /// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))` (arXiv 1606.08415).
    GeluTanh,
    /// `0.5 x (1 + erf(x / √2))` (arXiv 1606.08415).
    Gelu,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// Every activation, for tests.
    pub const ALL: [Self; 5] = [Self::Silu, Self::GeluTanh, Self::Gelu, Self::Tanh, Self::Relu];
}

/// A packed matrix `[rows, cols]`, as kernels see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixSpec {
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub cols: usize,
    /// How weights are packed.
    pub kind: WeightKind,
    /// Whether a bias of `rows` values is added.
    pub has_bias: bool,
}

impl MatrixSpec {
    /// `u32` words of a row.
    pub const fn words_per_row(&self) -> usize {
        self.kind.words_per_row(self.cols)
    }

    /// Scales of a row.
    pub const fn blocks_per_row(&self) -> usize {
        self.kind.blocks_per_row(self.cols)
    }

    /// `u32` words of a token's input where a GPU rounds it for a product with several tokens: for each block of 32 values 16 words and its scale in four.
    /// Zero where it never does.
    pub const fn rounded_row_words(&self) -> usize {
        if self.kind.is_quantized() && self.cols.is_multiple_of(BLOCK) { self.cols / BLOCK * 20 } else { 0 }
    }

    /// Bytes in memory, bias included.
    pub const fn bytes(&self) -> u64 {
        self.kind.matrix_bytes(self.rows, self.cols) + if self.has_bias { self.rows as u64 * 4 } else { 0 }
    }
}
