//! Vector primitives in plain Rust, shaped so that the compiler vectorises them.

use half::{f16, slice::HalfFloatSliceExt};

use eyas_core::BLOCK;

/// What this CPU path is called in reports.
pub(crate) const NAME: &str = "CPU";

const LANES: usize = 8;

/// `Σ a·b`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// The products of one row with four tokens that lie one after the other.
pub(super) fn dot_four(row: &[f32], tokens: &[f32]) -> [f32; 4] {
    let n = row.len();
    [0, 1, 2, 3].map(|t| dot(row, &tokens[t * n..][..n]))
}

/// Words of two `f16` to floats.
pub(super) fn unpack_f16(words: &[u32], out: &mut [f32]) {
    bytemuck::cast_slice::<u32, f16>(words).convert_to_f32_slice(out);
}

/// Words of two `bf16` to floats.
pub(super) fn unpack_bf16(words: &[u32], out: &mut [f32]) {
    for (word, pair) in words.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = f32::from_bits(word << 16);
        pair[1] = f32::from_bits(word & 0xffff_0000);
    }
}

/// A row of 8-bit blocks to floats.
pub(super) fn unpack_q8(words: &[u32], scales: &[f32], out: &mut [f32]) {
    let bytes: &[i8] = bytemuck::cast_slice(words);
    for ((block, scale), out) in bytes.chunks_exact(BLOCK).zip(scales).zip(out.chunks_exact_mut(BLOCK)) {
        for (o, w) in out.iter_mut().zip(block) {
            *o = f32::from(*w) * scale;
        }
    }
}

/// A row of 4-bit blocks to floats.
pub(super) fn unpack_q4(words: &[u32], scales: &[f32], out: &mut [f32]) {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    for ((block, scale), out) in bytes.chunks_exact(BLOCK / 2).zip(scales).zip(out.chunks_exact_mut(BLOCK)) {
        for (byte, pair) in block.iter().zip(out.chunks_exact_mut(2)) {
            pair[0] = (f32::from(byte & 0xf) - 8.0) * scale;
            pair[1] = (f32::from(byte >> 4) - 8.0) * scale;
        }
    }
}

/// The product of a row of 8-bit blocks with a padded token.
pub(super) fn dot_q8(words: &[u32], scales: &[f32], x: &[f32]) -> f32 {
    let bytes: &[i8] = bytemuck::cast_slice(words);
    let blocks = bytes.chunks_exact(BLOCK).zip(x.chunks_exact(BLOCK));
    blocks.zip(scales).map(|((block, x), scale)| dot_integers(|i| f32::from(block[i]), x) * scale).sum()
}

/// The product of a row of 4-bit blocks with a padded token.
pub(super) fn dot_q4(words: &[u32], scales: &[f32], x: &[f32]) -> f32 {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let blocks = bytes.chunks_exact(BLOCK / 2).zip(x.chunks_exact(BLOCK));
    blocks
        .zip(scales)
        .map(|((block, x), scale)| {
            let mut weights = [0.0; BLOCK];
            for (byte, pair) in block.iter().zip(weights.chunks_exact_mut(2)) {
                pair[0] = f32::from(byte & 0xf) - 8.0;
                pair[1] = f32::from(byte >> 4) - 8.0;
            }
            dot_integers(|i| weights[i], x) * scale
        })
        .sum()
}

fn dot_integers(weight: impl Fn(usize) -> f32, x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for start in (0..BLOCK).step_by(LANES) {
        for i in 0..LANES {
            sums[i] += weight(start + i) * x[start + i];
        }
    }
    sums.iter().sum()
}
