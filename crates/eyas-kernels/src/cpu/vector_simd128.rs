//! Vector primitives in WebAssembly SIMD128 (base instructions only).

use core::arch::wasm32::{
    f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_splat, u32x4_extend_low_u16x8, u32x4_shl, u32x4_splat, v128, v128_and,
    v128_load, v128_load64_zero, v128_or, v128_store,
};

/// What this CPU path is called in reports.
pub(crate) const NAME: &str = "CPU (WASM SIMD)";

/// Loads four floats from the start of a slice.
#[inline(always)]
fn load(x: &[f32]) -> v128 {
    assert!(x.len() >= 4);
    // SAFETY: the slice holds at least 16 bytes, and v128_load needs no alignment.
    unsafe { v128_load(x.as_ptr().cast()) }
}

#[inline(always)]
fn store(out: &mut [f32], value: v128) {
    assert!(out.len() >= 4);
    // SAFETY: the slice holds at least 16 bytes, and v128_store needs no alignment.
    unsafe { v128_store(out.as_mut_ptr().cast(), value) };
}

#[inline(always)]
fn sum(v: v128) -> f32 {
    f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<1>(v) + f32x4_extract_lane::<2>(v) + f32x4_extract_lane::<3>(v)
}

#[inline(always)]
fn multiply_add(acc: v128, a: v128, b: v128) -> v128 {
    f32x4_add(acc, f32x4_mul(a, b))
}

/// `Σ a·b`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [f32x4_splat(0.0); 2];
    for (x, y) in a_chunks.zip(b_chunks) {
        sums[0] = multiply_add(sums[0], load(x), load(y));
        sums[1] = multiply_add(sums[1], load(&x[4..]), load(&y[4..]));
    }
    sum(f32x4_add(sums[0], sums[1])) + tail
}

/// The products of one row with four tokens that lie one after the other.
pub(super) fn dot_four(row: &[f32], tokens: &[f32]) -> [f32; 4] {
    let n = row.len();
    let (a, rest) = tokens.split_at(n);
    let (b, rest) = rest.split_at(n);
    let (c, d) = rest.split_at(n);
    let mut sums = [f32x4_splat(0.0); 4];
    let whole = n / 4 * 4;
    for i in (0..whole).step_by(4) {
        let w = load(&row[i..]);
        sums[0] = multiply_add(sums[0], w, load(&a[i..]));
        sums[1] = multiply_add(sums[1], w, load(&b[i..]));
        sums[2] = multiply_add(sums[2], w, load(&c[i..]));
        sums[3] = multiply_add(sums[3], w, load(&d[i..]));
    }
    let mut out = sums.map(sum);
    for (i, token) in [a, b, c, d].into_iter().enumerate() {
        out[i] += row[whole..].iter().zip(&token[whole..]).map(|(w, x)| w * x).sum::<f32>();
    }
    out
}

/// Words of two `f16` to floats.
pub(super) fn unpack_f16(words: &[u32], out: &mut [f32]) {
    // A half's exponent and fraction, shifted into a float's place, are 2¹¹² too small; the product restores subnormals too.
    let whole = words.len() / 2 * 2;
    let factor = f32x4_splat(f32::from_bits(0x7780_0000));
    for (pair, out) in words[..whole].chunks_exact(2).zip(out.chunks_exact_mut(4)) {
        // SAFETY: the chunk holds 8 bytes, and the load needs no alignment.
        let bits = unsafe { v128_load64_zero(pair.as_ptr().cast()) };
        let lanes = u32x4_extend_low_u16x8(bits);
        let sign = u32x4_shl(v128_and(lanes, u32x4_splat(0x8000)), 16);
        let magnitude = u32x4_shl(v128_and(lanes, u32x4_splat(0x7fff)), 13);
        store(out, v128_or(f32x4_mul(magnitude, factor), sign));
    }
    for (word, pair) in words[whole..].iter().zip(out[whole * 2..].chunks_exact_mut(2)) {
        pair[0] = half::f16::from_bits((word & 0xffff) as u16).to_f32();
        pair[1] = half::f16::from_bits((word >> 16) as u16).to_f32();
    }
}

/// Words of two `bf16` to floats.
pub(super) fn unpack_bf16(words: &[u32], out: &mut [f32]) {
    for (word, pair) in words.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = f32::from_bits(word << 16);
        pair[1] = f32::from_bits(word & 0xffff_0000);
    }
}
