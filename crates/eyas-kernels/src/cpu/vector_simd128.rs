//! Vector primitives in WebAssembly SIMD128 (base instructions only).

use core::arch::wasm32::{
    f32x4_abs, f32x4_add, f32x4_div, f32x4_extract_lane, f32x4_mul, f32x4_neg, f32x4_pmax, f32x4_pmin, f32x4_splat, f32x4_sub,
    i32x4_add, i32x4_shl, i32x4_shuffle, i32x4_splat, u32x4_extend_low_u16x8, u32x4_shl, u32x4_splat, v128, v128_and, v128_load,
    v128_load32_splat, v128_load64_zero, v128_or, v128_store,
};

/// What this CPU path is called in reports.
pub(super) const NAME: &str = "CPU (WASM SIMD)";

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
pub(super) fn multiply_add(acc: v128, a: v128, b: v128) -> v128 {
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

/// The sums of the lanes of four vectors: a transposition, then three additions.
#[inline(always)]
pub(super) fn lane_sums([a, b, c, d]: [v128; 4]) -> v128 {
    let (ab_low, ab_high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let (cd_low, cd_high) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    let (ab, cd) = (f32x4_add(ab_low, ab_high), f32x4_add(cd_low, cd_high));
    f32x4_add(i32x4_shuffle::<0, 1, 4, 5>(ab, cd), i32x4_shuffle::<2, 3, 6, 7>(ab, cd))
}

/// The products of one row with four others of its length.
pub(super) fn dot_four(row: &[f32], others: [&[f32]; 4]) -> [f32; 4] {
    let n = row.len();
    let others = others.map(|other| &other[..n]);
    let mut sums = [f32x4_splat(0.0); 4];
    let whole = n / 4 * 4;
    for i in (0..whole).step_by(4) {
        // SAFETY: all five slices have `n` values, and `i + 4 <= n`; v128_load needs no alignment.
        unsafe {
            let w = v128_load(row.as_ptr().add(i).cast());
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum = multiply_add(*sum, w, v128_load(other.as_ptr().add(i).cast()));
            }
        }
    }
    let mut out = [0.0; 4];
    store(&mut out, lane_sums(sums));
    for (out, other) in out.iter_mut().zip(others) {
        *out += row[whole..].iter().zip(&other[whole..]).map(|(w, x)| w * x).sum::<f32>();
    }
    out
}

/// The largest of some values, of which none counts that is no number; -∞ of none.
pub(super) fn largest(values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<4>();
    let lanes = whole.iter().fold(f32x4_splat(f32::NEG_INFINITY), |largest, four| f32x4_pmax(largest, load(four)));
    let mut four = [0.0; 4];
    store(&mut four, lanes);
    four.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Multiplies every value with `factor`.
pub(super) fn scale(values: &mut [f32], factor: f32) {
    let (whole, rest) = values.as_chunks_mut::<4>();
    for four in whole {
        let scaled = f32x4_mul(load(four), f32x4_splat(factor));
        store(four, scaled);
    }
    for value in rest {
        *value *= factor;
    }
}

/// 1.5 · 2²³: a float of at most 2²² in size that is added to it is rounded to an integer, which then stands in the sum's lowest bits.
pub(super) const ROUNDING: f32 = 12_582_912.0;

/// Constants of [`exp`].
static EXP: [f32; 13] = [
    88.0,
    -87.0,
    core::f32::consts::LOG2_E,
    ROUNDING,
    // ln 2 in two parts, the first of which has few enough bits for n times it to be exact.
    0.693_359_4,
    2.121_944_4e-4,
    // 1 / 0!, which is 1 / 1! too, 1 / 2!, and so on.
    1.0,
    0.5,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
];

/// `exp` of each lane, within 2 units in the last place for -87 to 88; what lies below gives about 10⁻³⁸.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`; eʳ by its series up to r⁷ / 7!, whose rest is below 6·10⁻⁹; 2ⁿ is put together from bits.
#[inline(always)]
fn exp(x: v128) -> v128 {
    // Unknown to the compiler, constants are loaded where they are needed: known, they were in registers from turn to turn of a loop, and what it computes was not.
    let constants = std::hint::black_box(&EXP);
    // SAFETY: each reference is to four bytes; the load needs no alignment.
    let [most, least, log2_e, rounding, ln_2, ln_2_rest, one, c2, c3, c4, c5, c6, c7] =
        constants.each_ref().map(|constant| unsafe { v128_load32_splat(std::ptr::from_ref(constant).cast()) });
    // Unlike `f32x4_min` these are one instruction each on x64; what is no number stays none.
    let x = f32x4_pmax(f32x4_pmin(x, most), least);
    let rounded = multiply_add(rounding, x, log2_e);
    let n = f32x4_sub(rounded, rounding);
    let r = f32x4_sub(x, f32x4_mul(n, ln_2));
    let r = f32x4_add(r, f32x4_mul(n, ln_2_rest));
    // By twos and fours: the terms wait for each other less than one behind the other.
    let square = f32x4_mul(r, r);
    let low = multiply_add(f32x4_add(one, r), multiply_add(c2, c3, r), square);
    let high = multiply_add(multiply_add(c4, c5, r), multiply_add(c6, c7, r), square);
    let series = multiply_add(low, high, f32x4_mul(square, square));
    // n stands in the lowest bits, and what is above its nine goes.
    let power = i32x4_shl(i32x4_add(rounded, i32x4_splat(127)), 23);
    f32x4_mul(series, power)
}

/// Polynomial of 2ᶠ for `|f| ≤ 1/2`, lowest power first: the one of least relative error, 1.1·10⁻⁷, that is 1 at 0.
const EXP2: [f32; 6] = [1.0, 0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_513, 0.001_326_472_8];

/// As [`ROUNDING`], and what an exponent's bits are more than the exponent.
const ROUNDING_BIASED: f32 = ROUNDING + 127.0;

/// 2ˣ of each lane for `x ≤ 0`, within 3·10⁻⁷ of it; below -126 it is about 10⁻³⁸, and what is no number stays none.
#[inline(always)]
fn exp2_below(x: v128) -> v128 {
    let [c0, c1, c2, c3, c4, c5] = EXP2.map(|coefficient| f32x4_splat(coefficient));
    let rounding = f32x4_splat(ROUNDING_BIASED);
    let x = f32x4_pmax(x, f32x4_splat(-126.0));
    let rounded = f32x4_add(x, rounding);
    let f = f32x4_sub(x, f32x4_sub(rounded, rounding));
    let square = f32x4_mul(f, f);
    let high = multiply_add(multiply_add(c2, c3, f), multiply_add(c4, c5, f), square);
    let series = multiply_add(multiply_add(c0, c1, f), high, square);
    // The power's exponent stands in the lowest bits, and what is above its nine goes.
    f32x4_mul(series, i32x4_shl(rounded, 23))
}

/// Makes `exp(x - max)` of every `x`, and returns their sum; no `x` may be above `max`.
///
/// That is 2 to the power of (x - max) log₂e. What rounding this product changes, a unit in the last place of `x - max` would change too.
pub(super) fn exp_below(values: &mut [f32], max: f32) -> f32 {
    let weights_of =
        |scores: v128| exp2_below(f32x4_mul(f32x4_sub(scores, f32x4_splat(max)), f32x4_splat(core::f32::consts::LOG2_E)));
    let mut total = f32x4_splat(0.0);
    let (whole, rest) = values.as_chunks_mut::<4>();
    for four in whole {
        let weights = weights_of(load(four));
        total = f32x4_add(total, weights);
        store(four, weights);
    }
    let mut total = sum(total);
    for value in rest {
        *value = f32x4_extract_lane::<0>(weights_of(f32x4_splat(*value)));
        total += *value;
    }
    total
}

/// `out = gate · sigmoid(gate) · up`.
#[inline(never)] // in a caller that is optimised for size it would be too
pub(super) fn silu_product(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let silu = |gate: v128| f32x4_div(gate, f32x4_add(f32x4_splat(1.0), exp(f32x4_neg(gate))));
    let whole = out.len() / 4 * 4;
    for i in (0..whole).step_by(4) {
        store(&mut out[i..], f32x4_mul(silu(load(&gate[i..])), load(&up[i..])));
    }
    for i in whole..out.len() {
        out[i] = f32x4_extract_lane::<0>(silu(f32x4_splat(gate[i]))) * up[i];
    }
}

/// `0.5 x (1 + erf(x / √2))` of every `x`; erf by formula 7.1.26 of Abramowitz and Stegun, within 1.5·10⁻⁷.
pub(super) fn gelu(values: &mut [f32]) {
    let gelu = |x: v128| {
        let z = f32x4_mul(f32x4_abs(x), f32x4_splat(core::f32::consts::FRAC_1_SQRT_2));
        let t = f32x4_div(f32x4_splat(1.0), multiply_add(f32x4_splat(1.0), f32x4_splat(0.327_591_1), z));
        let mut series = f32x4_splat(1.061_405_4);
        for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6, 0.0] {
            series = multiply_add(f32x4_splat(coefficient), series, t);
        }
        let erf = f32x4_sub(f32x4_splat(1.0), f32x4_mul(series, exp(f32x4_neg(f32x4_mul(z, z)))));
        // 0.5 x (1 + erf(x)) is 0.5 (x + |x| erf(|x|)), since erf is odd.
        f32x4_mul(f32x4_splat(0.5), multiply_add(x, f32x4_abs(x), erf))
    };
    let (whole, rest) = values.as_chunks_mut::<4>();
    for four in whole {
        let value = gelu(load(four));
        store(four, value);
    }
    for value in rest {
        *value = f32x4_extract_lane::<0>(gelu(f32x4_splat(*value)));
    }
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
