//! Eight rows brought side by side, in WebAssembly SIMD128 (base instructions only). See `row_groups` for the layouts.

use core::arch::wasm32::{
    i16x8_shuffle, i32x4_shuffle, i64x2_shuffle, u8x16_narrow_i16x8, u16x8_shr, u16x8_splat, u32x4_shr, u32x4_splat, v128,
    v128_and, v128_load, v128_or, v128_store,
};

use super::row_groups::GROUP;
pub(super) use super::row_groups::split_pairs;

/// Words of a row that a turn takes: a vector. Rows have whole blocks, and so whole vectors.
const STEP: usize = 4;

/// The next four words of each of eight rows.
#[inline(always)]
fn load(from: &[u32], row_words: usize, at: usize) -> [v128; GROUP] {
    std::array::from_fn(|row| {
        let words = &from[row * row_words + at..][..STEP];
        // SAFETY: the slice holds 16 bytes, and v128_load needs no alignment.
        unsafe { v128_load(words.as_ptr().cast()) }
    })
}

#[inline(always)]
fn store(to: &mut [u32], value: v128) {
    let to = &mut to[..STEP];
    // SAFETY: the slice holds 16 bytes, and v128_store needs no alignment.
    unsafe { v128_store(to.as_mut_ptr().cast(), value) };
}

/// The words of two vectors, each as [`split_pairs`] splits it.
#[inline(always)]
fn split(a: v128, b: v128) -> [v128; 2] {
    let pairs = |v: v128| {
        let ones = v128_and(v, u32x4_splat(0x0f0f_0f0f));
        v128_and(v128_or(ones, u16x8_shr(ones, 4)), u16x8_splat(0xff))
    };
    let even = u8x16_narrow_i16x8(pairs(a), pairs(b));
    let odd = u8x16_narrow_i16x8(pairs(u32x4_shr(a, 4)), pairs(u32x4_shr(b, 4)));
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(even, odd), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(even, odd)]
}

/// 4-bit weights of eight rows, `[8 rows][row_words]`, to `[row_words][8 rows]` with each word's pairs split.
pub(super) fn q4(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (step, to) in to.chunks_exact_mut(STEP * GROUP).enumerate() {
        let [a, b, c, d, e, f, g, h] = load(from, row_words, step * STEP);
        let [[a, b], [c, d], [e, f], [g, h]] = [split(a, b), split(c, d), split(e, f), split(g, h)];
        for (half, rows) in [[a, b, c, d], [e, f, g, h]].into_iter().enumerate() {
            for (word, side) in transposed(rows).into_iter().enumerate() {
                store(&mut to[word * GROUP + half * STEP..], side);
            }
        }
    }
}

/// Four rows of four words to four columns of them.
#[inline(always)]
fn transposed([a, b, c, d]: [v128; 4]) -> [v128; 4] {
    let (ab_low, ab_high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let (cd_low, cd_high) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    [
        i64x2_shuffle::<0, 2>(ab_low, cd_low),
        i64x2_shuffle::<1, 3>(ab_low, cd_low),
        i64x2_shuffle::<0, 2>(ab_high, cd_high),
        i64x2_shuffle::<1, 3>(ab_high, cd_high),
    ]
}

/// 8-bit weights of eight rows, `[8 rows][2 · row_words]` pairs, to `[2 · row_words][8 rows]`.
pub(super) fn q8(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (step, to) in to.chunks_exact_mut(STEP * GROUP).enumerate() {
        let rows = load(from, row_words, step * STEP);
        let low = |a, b| i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
        let high = |a, b| i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
        let [a, b, c, d, e, f, g, h] = rows;
        // Words of two rows' pairs: columns 0 to 3 of them, and 4 to 7.
        let low = transposed([low(a, b), low(c, d), low(e, f), low(g, h)]);
        let high = transposed([high(a, b), high(c, d), high(e, f), high(g, h)]);
        for (column, side) in low.into_iter().chain(high).enumerate() {
            store(&mut to[column * STEP..], side);
        }
    }
}
