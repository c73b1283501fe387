//! Products with packed matrices on the CPU.

use eyas_core::{BLOCK, WeightKind};

use super::vector;
use crate::{Activation, MatrixSpec};

/// The rows of a packed matrix.
pub(super) struct Rows<'a> {
    words: &'a [u32],
    scales: &'a [f32],
    pub(super) spec: MatrixSpec,
}

impl<'a> Rows<'a> {
    pub(super) fn new(words: &'a [u32], scales: &'a [f32], spec: MatrixSpec) -> Self {
        Self { words, scales, spec }
    }

    /// Columns of a row with its padding.
    pub(super) fn padded_cols(&self) -> usize {
        match self.spec.kind {
            WeightKind::F32 => self.spec.cols,
            WeightKind::F16 | WeightKind::Bf16 => self.spec.cols.next_multiple_of(2),
            WeightKind::Q8 | WeightKind::Q4 => self.spec.cols.next_multiple_of(BLOCK),
        }
    }

    fn row(&self, index: usize) -> (&'a [u32], &'a [f32]) {
        let (words, blocks) = (self.spec.words_per_row(), self.spec.blocks_per_row());
        (&self.words[index * words..][..words], &self.scales[index * blocks..][..blocks])
    }

    /// Unpacks a row into `out`, which has [`Self::padded_cols`] values.
    pub(super) fn unpack(&self, index: usize, out: &mut [f32]) {
        let (words, scales) = self.row(index);
        match self.spec.kind {
            WeightKind::F32 => out.copy_from_slice(bytemuck::cast_slice(words)),
            WeightKind::F16 => vector::unpack_f16(words, out),
            WeightKind::Bf16 => vector::unpack_bf16(words, out),
            WeightKind::Q8 => vector::unpack_q8(words, scales, out),
            WeightKind::Q4 => vector::unpack_q4(words, scales, out),
        }
    }

    /// The product of a row with one padded token; `unpacked` is scratch.
    fn dot(&self, index: usize, x: &[f32], unpacked: &mut [f32]) -> f32 {
        let (words, scales) = self.row(index);
        match self.spec.kind {
            WeightKind::F32 => vector::dot(bytemuck::cast_slice(words), x),
            WeightKind::Q8 => vector::dot_q8(words, scales, x),
            WeightKind::Q4 => vector::dot_q4(words, scales, x),
            WeightKind::F16 | WeightKind::Bf16 => {
                self.unpack(index, unpacked);
                vector::dot(unpacked, x)
            }
        }
    }
}

/// Adds `x · Wᵀ + bias` to `out`: `x` is `[t, cols]`, `out` is `[t, rows]`.
pub(super) fn add_product(rows: &Rows, bias: &[f32], x: &[f32], out: &mut [f32]) {
    let spec = rows.spec;
    let (padded, tokens) = (rows.padded_cols(), x.len() / spec.cols);
    let mut x_padded = vec![0.0; tokens * padded];
    for (from, to) in x.chunks(spec.cols).zip(x_padded.chunks_mut(padded)) {
        to[..spec.cols].copy_from_slice(from);
    }
    let mut unpacked = vec![0.0; padded];
    for r in 0..spec.rows {
        let offset = if spec.has_bias { bias[r] } else { 0.0 };
        if tokens == 1 {
            out[r] += rows.dot(r, &x_padded, &mut unpacked) + offset;
            continue;
        }
        rows.unpack(r, &mut unpacked);
        let mut t = 0;
        while t + 4 <= tokens {
            let sums = vector::dot_four(&unpacked, &x_padded[t * padded..(t + 4) * padded]);
            for (i, sum) in sums.into_iter().enumerate() {
                out[(t + i) * spec.rows + r] += sum + offset;
            }
            t += 4;
        }
        for t in t..tokens {
            out[t * spec.rows + r] += vector::dot(&unpacked, &x_padded[t * padded..][..padded]) + offset;
        }
    }
}

/// The activation of a gate.
pub(super) fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
    }
}
