//! Integer products of row groups in WebAssembly SIMD128 (base instructions only). See `row_groups` for the layouts. Loops over registers count through arrays, as
//! in `row_products_simd128`.
#![allow(clippy::needless_range_loop, reason = "loops over registers, which are unrolled")]

use core::arch::wasm32::{
    f32x4_abs, f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_max, f32x4_mul, f32x4_splat, i16x8_load_extend_i8x8,
    i16x8_narrow_i32x4, i16x8_splat, i16x8_sub, i32x4_add, i32x4_dot_i16x8, i32x4_extract_lane, i32x4_shuffle, i32x4_splat,
    i32x4_sub, u16x8_shr, v128, v128_and, v128_load, v128_load32_splat, v128_store,
};

use eyas_core::BLOCK;

use super::{
    row_groups::{GROUP, GroupRows},
    vector::ROUNDING,
};

/// Loads the vector `index` of what `from` points into.
///
/// # Safety
/// The sixteen bytes must be there; no alignment is needed.
#[inline(always)]
unsafe fn vector<T>(from: *const T, index: usize) -> v128 {
    // SAFETY: the caller's.
    unsafe { v128_load(from.cast::<v128>().add(index)) }
}

/// Rounds a block to integers of at most `steps` in size: its scale, and the integers four by four.
pub(super) fn rounded(x: &[f32; BLOCK], steps: f32) -> (f32, [v128; 8]) {
    // SAFETY: a block is eight vectors of floats.
    let x: [v128; 8] = std::array::from_fn(|i| unsafe { vector(x.as_ptr(), i) });
    let largest = x.iter().fold(f32x4_splat(0.0), |largest, v| f32x4_max(largest, f32x4_abs(*v)));
    // Unlike `f32::max` the instruction keeps what is no number.
    let largest = f32x4_max(largest, i32x4_shuffle::<2, 3, 0, 1>(largest, largest));
    let largest = f32x4_extract_lane::<0>(f32x4_max(largest, i32x4_shuffle::<1, 0, 3, 2>(largest, largest)));
    // What is smaller counts as zero: its inverse would be no number.
    let is_zero = largest < 1e-30;
    let scale = if is_zero { 0.0 } else { largest / steps };
    let inverse = f32x4_splat(if is_zero { 0.0 } else { steps / largest });
    // An integer stands in the lowest bits of the sum; of what is no number the scale is none either.
    let rounding = f32x4_splat(ROUNDING);
    (scale, x.map(|v| i32x4_sub(f32x4_add(f32x4_mul(v, inverse), rounding), rounding)))
}

/// The sum of all lanes.
pub(super) fn total(integers: [v128; 8]) -> i32 {
    let sums = integers.into_iter().fold(i32x4_splat(0), |sums, four| i32x4_add(sums, four));
    i32x4_extract_lane::<0>(sums) + i32x4_extract_lane::<1>(sums) + i32x4_extract_lane::<2>(sums) + i32x4_extract_lane::<3>(sums)
}

/// Rounds a block to `i16`; returns its scale and the sum of the integers.
pub(super) fn quantize_block(x: &[f32; BLOCK], out: &mut [i16; BLOCK]) -> (f32, i32) {
    let (scale, integers) = rounded(x, 32767.0);
    for (i, [low, high]) in integers.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: the output is four vectors of halves.
        unsafe { v128_store(out.as_mut_ptr().cast::<v128>().add(i), i16x8_narrow_i32x4(*low, *high)) };
    }
    (scale, total(integers))
}

/// The four nibbles of each half word, lowest first.
#[inline(always)]
fn nibbles(word: v128) -> [v128; 4] {
    let mask = i16x8_splat(15);
    [v128_and(word, mask), v128_and(u16x8_shr(word, 4), mask), v128_and(u16x8_shr(word, 8), mask), u16x8_shr(word, 12)]
}

/// Weights of a 4-bit block of a group as pairs: `[16 pairs][8 rows][2]`.
pub(super) fn unpack_q4(words: &[u32], out: &mut [i16; BLOCK * GROUP]) {
    assert!(words.len() >= BLOCK);
    let eight = i16x8_splat(8);
    for octet in 0..4 {
        for half in 0..2 {
            // SAFETY: a block has eight vectors of words (checked above).
            let word = unsafe { vector(words.as_ptr(), 2 * octet + half) };
            for (n, pairs) in nibbles(word).into_iter().enumerate() {
                // SAFETY: the output has 32 vectors.
                unsafe { v128_store(out.as_mut_ptr().cast::<v128>().add((octet * 4 + n) * 2 + half), i16x8_sub(pairs, eight)) };
            }
        }
    }
}

/// Weights of an 8-bit block of a group as pairs: `[16 pairs][8 rows][2]`.
pub(super) fn unpack_q8(words: &[u32], out: &mut [i16; BLOCK * GROUP]) {
    assert!(words.len() >= 2 * BLOCK);
    for i in 0..32 {
        // SAFETY: a block has 32 times eight bytes (checked above), and the output 32 vectors.
        unsafe {
            v128_store(out.as_mut_ptr().cast::<v128>().add(i), i16x8_load_extend_i8x8(words.as_ptr().cast::<i8>().add(8 * i)))
        };
    }
}

#[inline(always)]
fn multiply_add(acc: v128, weights: v128, x: v128) -> v128 {
    i32x4_add(acc, i32x4_dot_i16x8(weights, x))
}

#[inline(always)]
fn add_scaled(acc: v128, sums: v128, scales: v128, x_scale: v128) -> v128 {
    f32x4_add(acc, f32x4_mul(f32x4_convert_i32x4(sums), f32x4_mul(scales, x_scale)))
}

/// Adds the products of one token with groups of eight rows of 4-bit blocks to `out` `[groups, 8]`. N groups, each from its own part of the matrix, take turns, so
/// that they share what is loaded of the token; N must divide their number.
///
/// Nibbles are shifted down one by one: the upper ones of bytes could be multiplied where they stand, and be summed apart, but then four groups have 16
/// sums, and x64 has no more registers.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn dot_q4<const N: usize>((words, scales): GroupRows, x: &[i16], x_scales: &[f32], x_sums: &[i32], out: &mut [f32]) {
    let (blocks, part) = (x_scales.len(), out.len() / GROUP / N);
    assert!(out.len() == part * N * GROUP && x.len() >= blocks * BLOCK && x_sums.len() >= blocks);
    for group in 0..part {
        let groups: [usize; N] = std::array::from_fn(|n| group + n * part);
        let mut scaled = ScaledSums::new(scales, groups, blocks);
        let mut words = groups.map(|group| words[group * blocks * BLOCK..][..blocks * BLOCK].as_ptr().cast::<v128>());
        let mut x = x.as_ptr();
        for block in 0..blocks {
            // Weights are nibbles less 8: the eights are taken off all at once.
            let mut sums = [[i32x4_splat(x_sums[block] * -8); 2]; N];
            for _ in 0..4 {
                // SAFETY: the lengths are checked above; a block has 32 integers of x, and eight vectors of words in each group.
                unsafe {
                    let pairs: [v128; 4] = std::array::from_fn(|n| v128_load32_splat(x.add(2 * n).cast()));
                    x = x.add(8);
                    for n in 0..N {
                        for half in 0..2 {
                            let [a, b, c, d] = nibbles(v128_load(words[n].add(half)));
                            let sum = multiply_add(sums[n][half], a, pairs[0]);
                            let sum = multiply_add(sum, b, pairs[1]);
                            let sum = multiply_add(sum, c, pairs[2]);
                            sums[n][half] = multiply_add(sum, d, pairs[3]);
                        }
                        words[n] = words[n].add(2);
                    }
                }
            }
            // SAFETY: this is one of the groups' blocks.
            unsafe { scaled.add(sums, x_scales[block]) };
        }
        scaled.add_to(out, groups);
    }
}

/// Adds the products of one token with groups of eight rows of 8-bit blocks to `out` `[groups, 8]`. N groups, each from its own part of the matrix, take turns, so
/// that they share what is loaded of the token; N must divide their number.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn dot_q8<const N: usize>((words, scales): GroupRows, x: &[i16], x_scales: &[f32], out: &mut [f32]) {
    let (blocks, part) = (x_scales.len(), out.len() / GROUP / N);
    assert!(out.len() == part * N * GROUP && x.len() >= blocks * BLOCK);
    for group in 0..part {
        let groups: [usize; N] = std::array::from_fn(|n| group + n * part);
        let mut scaled = ScaledSums::new(scales, groups, blocks);
        let bytes = groups.map(|group| words[group * blocks * 2 * BLOCK..][..blocks * 2 * BLOCK].as_ptr().cast::<i8>());
        for block in 0..blocks {
            let mut sums = [[i32x4_splat(0); 2]; N];
            for pair in 0..16 {
                // SAFETY: the lengths are checked above; a block has 32 integers of x, and 32 times eight bytes in each group.
                unsafe {
                    let x = v128_load32_splat(x.as_ptr().add(block * BLOCK + 2 * pair).cast());
                    for n in 0..N {
                        let bytes = bytes[n].add(block * 8 * BLOCK + 16 * pair);
                        sums[n][0] = multiply_add(sums[n][0], i16x8_load_extend_i8x8(bytes), x);
                        sums[n][1] = multiply_add(sums[n][1], i16x8_load_extend_i8x8(bytes.add(8)), x);
                    }
                }
            }
            // SAFETY: this is one of the groups' blocks.
            unsafe { scaled.add(sums, x_scales[block]) };
        }
        scaled.add_to(out, groups);
    }
}

/// What the blocks of N groups amount to so far, and where the scales of the next ones are.
struct ScaledSums<const N: usize> {
    acc: [[v128; 2]; N],
    scales: [*const v128; N],
}

impl<const N: usize> ScaledSums<N> {
    /// Nothing yet of these groups, which have so many blocks each.
    #[inline(always)]
    fn new(scales: &[f32], groups: [usize; N], blocks: usize) -> Self {
        let scales = groups.map(|group| scales[group * blocks * GROUP..][..blocks * GROUP].as_ptr().cast());
        Self { acc: [[f32x4_splat(0.0); 2]; N], scales }
    }

    /// Adds a block's sums.
    ///
    /// # Safety
    /// The groups must have one more block.
    #[inline(always)]
    unsafe fn add(&mut self, sums: [[v128; 2]; N], x_scale: f32) {
        let x_scale = f32x4_splat(x_scale);
        for n in 0..N {
            for half in 0..2 {
                // SAFETY: the caller's; eight scales are two vectors.
                let scales = unsafe { v128_load(self.scales[n].add(half)) };
                self.acc[n][half] = add_scaled(self.acc[n][half], sums[n][half], scales, x_scale);
            }
            self.scales[n] = self.scales[n].wrapping_add(2);
        }
    }

    /// Adds the groups' products to `out`.
    #[inline(always)]
    fn add_to(self, out: &mut [f32], groups: [usize; N]) {
        for n in 0..N {
            let out = &mut out[groups[n] * GROUP..][..GROUP];
            for half in 0..2 {
                // SAFETY: eight values are two vectors.
                unsafe {
                    let out = out.as_mut_ptr().cast::<v128>().add(half);
                    v128_store(out, f32x4_add(v128_load(out), self.acc[n][half]));
                }
            }
        }
    }
}

/// Adds the products of an unpacked block with the blocks `x` `[t, 32]` of all tokens to `acc` `[t, 8]`.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn add_block(weights: &[i16; BLOCK * GROUP], scales: &[f32], x: &[i16], x_scales: &[f32], acc: &mut [[f32; GROUP]]) {
    let tokens = acc.len();
    assert!(scales.len() >= GROUP && x.len() >= tokens * BLOCK && x_scales.len() >= tokens);
    let mut token = 0;
    while token < tokens {
        let count = (tokens - token).min(4);
        // SAFETY: the lengths are checked above, and `count` tokens are left.
        unsafe {
            let (x, x_scales) = (x.as_ptr().add(token * BLOCK), x_scales.as_ptr().add(token));
            let acc = acc.as_mut_ptr().add(token);
            match count {
                4 => add_tokens::<4>(weights, scales, x, x_scales, acc),
                3 => add_tokens::<3>(weights, scales, x, x_scales, acc),
                2 => add_tokens::<2>(weights, scales, x, x_scales, acc),
                _ => add_tokens::<1>(weights, scales, x, x_scales, acc),
            }
        }
        token += count;
    }
}

/// [`add_block`] for N tokens, whose sums stay in registers.
///
/// # Safety
/// `x` must point at N blocks of 32, `x_scales` at N scales, `acc` at N groups of eight; `scales` must hold eight.
#[inline(always)]
unsafe fn add_tokens<const N: usize>(
    weights: &[i16; BLOCK * GROUP],
    scales: &[f32],
    x: *const i16,
    x_scales: *const f32,
    acc: *mut [f32; GROUP],
) {
    let mut sums = [[i32x4_splat(0); 2]; N];
    // SAFETY: the caller's; the weights are 32 vectors.
    unsafe {
        for pair in 0..16 {
            let low = vector(weights.as_ptr(), 2 * pair);
            let high = vector(weights.as_ptr(), 2 * pair + 1);
            for (token, sums) in sums.iter_mut().enumerate() {
                let x = v128_load32_splat(x.add(token * BLOCK + 2 * pair).cast());
                sums[0] = multiply_add(sums[0], low, x);
                sums[1] = multiply_add(sums[1], high, x);
            }
        }
        let scales = [vector(scales.as_ptr(), 0), vector(scales.as_ptr(), 1)];
        for (token, sums) in sums.into_iter().enumerate() {
            let x_scale = f32x4_splat(*x_scales.add(token));
            let acc = acc.add(token).cast::<v128>();
            v128_store(acc, add_scaled(v128_load(acc), sums[0], scales[0], x_scale));
            v128_store(acc.add(1), add_scaled(v128_load(acc.add(1)), sums[1], scales[1], x_scale));
        }
    }
}
