//! Vector primitives in plain Rust, shaped so that the compiler vectorises them.

use half::{f16, slice::HalfFloatSliceExt};

/// What this CPU path is called in reports.
pub(super) const NAME: &str = "CPU";

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

/// The products of one row with four others of its length.
pub(super) fn dot_four(row: &[f32], others: [&[f32]; 4]) -> [f32; 4] {
    others.map(|other| dot(row, other))
}

/// The largest of some values; -∞ of none.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Multiplies every value with `factor`.
pub(super) fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

/// Makes `exp(x - max)` of every `x`, and returns their sum; no `x` may be above `max`.
pub(super) fn exp_below(values: &mut [f32], max: f32) -> f32 {
    let mut total = 0.0;
    for value in values {
        *value = (*value - max).exp();
        total += *value;
    }
    total
}

/// `out = gate · sigmoid(gate) · up`.
pub(super) fn silu_product(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + (-gate).exp()) * up;
    }
}

/// `0.5 x (1 + erf(x / √2))` of every `x`; erf by formula 7.1.26 of Abramowitz and Stegun, within 1.5·10⁻⁷.
pub(super) fn gelu(values: &mut [f32]) {
    for value in values {
        let z = value.abs() * core::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let series = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t;
        let erf = (1.0 - series * (-z * z).exp()).copysign(*value);
        *value *= 0.5 * (1.0 + erf);
    }
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
