//! Eight rows brought side by side, in WebAssembly SIMD128 (base instructions only), four rows at a time. See `row_groups` for the layouts.

use core::arch::wasm32::{
    f32x4_mul, f32x4_splat, i8x16_shuffle, i16x8_shuffle, i32x4_eq, i32x4_shuffle, i64x2_shuffle, u8x16_narrow_i16x8, u16x8_shr,
    u16x8_splat, u32x4, u32x4_shl, u32x4_shr, u32x4_splat, v128, v128_and, v128_any_true, v128_load, v128_or, v128_store,
    v128_store64_lane,
};

use super::row_groups::GROUP;
pub(super) use super::row_groups::split_pairs;

/// Rows of a turn, and words of a row that it takes: a vector. Rows have whole blocks, and so whole vectors.
const STEP: usize = 4;

/// A vector of each of four rows.
type Rows = [v128; STEP];
/// What comes of a vector of each of eight rows.
type Turned = [u32; STEP * GROUP];

/// 4-bit weights of eight rows, `[8 rows][row_words]`, to `[row_words][8 rows]` with each word's pairs split.
pub(super) fn q4(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (half, from) in from.chunks_exact(row_words * STEP).enumerate() {
        for (step, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
            let [a, b, c, d] = load(from, row_words, step * STEP);
            let [[a, b], [c, d]] = [split(a, b), split(c, d)];
            store_words([a, b, c, d], half, to);
        }
    }
}

/// 8-bit weights of eight rows, `[8 rows][2 · row_words]` pairs, to `[2 · row_words][8 rows]`.
pub(super) fn q8(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (half, from) in from.chunks_exact(row_words * STEP).enumerate() {
        for (step, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
            store_pairs(load(from, row_words, step * STEP), half, to);
        }
    }
}

/// Rows of ggml's `Q4_0`, as eight groups of bytes of the same length, to words as [`q4`] makes them and scales `[block][8 rows]`. Answers whether
/// all scales are finite.
pub(super) fn q4_0(rows: [&[u8]; GROUP], words: &mut [u32], scales: &mut [f32]) -> bool {
    let turned = words.as_chunks_mut().0;
    each_block::<18>(rows, scales, |at, half, [a, b, c, d]| {
        let rows = [a, b, c, d].map(|block| {
            // Byte b holds column b in its low nibble and column 16 + b in its high one.
            let quants = vector(block, 2);
            let low = v128_and(quants, u32x4_splat(0x0f0f_0f0f));
            let high = v128_and(u16x8_shr(quants, 4), u32x4_splat(0x0f0f_0f0f));
            // The first two bytes of each word: its even columns, its odd ones.
            let pairs = |nibbles| v128_or(nibbles, u32x4_shr(nibbles, 12));
            i8x16_shuffle::<0, 4, 1, 5, 8, 12, 9, 13, 16, 20, 17, 21, 24, 28, 25, 29>(pairs(low), pairs(high))
        });
        store_words(rows, half, &mut turned[at]);
    })
}

/// The same for `Q8_0`, to units as [`q8`] makes them.
pub(super) fn q8_0(rows: [&[u8]; GROUP], words: &mut [u32], scales: &mut [f32]) -> bool {
    let turned = words.as_chunks_mut().0;
    each_block::<34>(rows, scales, |at, half, blocks| {
        store_pairs(blocks.map(|block| vector(block, 2)), half, &mut turned[at * 2]);
        store_pairs(blocks.map(|block| vector(block, 18)), half, &mut turned[at * 2 + 1]);
    })
}

/// Calls `arrange` with the blocks of `BYTES` bytes that four rows have in the same place, the place, and which half of the rows they are; their scales,
/// which are the blocks' first two bytes, go to `[block][8 rows]`. Answers whether all of them are finite.
#[inline(always)]
fn each_block<const BYTES: usize>(
    rows: [&[u8]; GROUP],
    scales: &mut [f32],
    mut arrange: impl FnMut(usize, usize, [&[u8; BYTES]; STEP]),
) -> bool {
    let exponent = u32x4_splat(0x7c00);
    let mut not_finite = u32x4_splat(0);
    for (half, [a, b, c, d]) in rows.as_chunks().0.iter().enumerate() {
        let stored = [a, b, c, d].map(|row| row.as_chunks::<BYTES>().0);
        for (at, scales) in scales.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let blocks = stored.map(|row| &row[at]);
            let [a, b, c, d] = blocks.map(|block| u32::from(u16::from_le_bytes([block[0], block[1]])));
            let halves = u32x4(a, b, c, d);
            not_finite = v128_or(not_finite, i32x4_eq(v128_and(halves, exponent), exponent));
            store(bytemuck::cast_slice_mut(&mut scales[half * STEP..]), floats(halves));
            arrange(at, half, blocks);
        }
    }
    !v128_any_true(not_finite)
}

/// Finite `f16`, each in the low half of a word, as `f32`: exact, whose exponents are 112 apart.
#[inline(always)]
fn floats(halves: v128) -> v128 {
    let sign = u32x4_shl(v128_and(halves, u32x4_splat(0x8000)), 16);
    let magnitude = u32x4_shl(v128_and(halves, u32x4_splat(0x7fff)), 13);
    f32x4_mul(v128_or(sign, magnitude), f32x4_splat(f32::from_bits((127 + 112) << 23)))
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

/// Words of four rows, each beside those of the other rows.
#[inline(always)]
fn store_words([a, b, c, d]: Rows, half: usize, to: &mut Turned) {
    let (ab_low, ab_high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let (cd_low, cd_high) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    let to = &mut to[half * STEP..];
    store(to, i64x2_shuffle::<0, 2>(ab_low, cd_low));
    store(&mut to[GROUP..], i64x2_shuffle::<1, 3>(ab_low, cd_low));
    store(&mut to[GROUP * 2..], i64x2_shuffle::<0, 2>(ab_high, cd_high));
    store(&mut to[GROUP * 3..], i64x2_shuffle::<1, 3>(ab_high, cd_high));
}

/// Eight pairs of four rows, each beside those of the other rows.
#[inline(always)]
fn store_pairs([a, b, c, d]: Rows, half: usize, to: &mut Turned) {
    let low = |a, b| i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
    let high = |a, b| i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
    let to = &mut to[half * 2..];
    for (four, ab, cd) in [(0, low(a, b), low(c, d)), (STEP * 4, high(a, b), high(c, d))] {
        store_two(i32x4_shuffle::<0, 4, 1, 5>(ab, cd), &mut to[four..]);
        store_two(i32x4_shuffle::<2, 6, 3, 7>(ab, cd), &mut to[four + STEP * 2..]);
    }
}

/// Two pairs of four rows, each to where all eight rows of it stand.
#[inline(always)]
fn store_two(pairs: v128, to: &mut [u32]) {
    let to = &mut to[..STEP + 2];
    // SAFETY: the slice holds 8 bytes from its beginning and from `STEP` on, and v128_store64_lane needs no alignment.
    unsafe {
        v128_store64_lane::<0>(pairs, to.as_mut_ptr().cast());
        v128_store64_lane::<1>(pairs, to.as_mut_ptr().add(STEP).cast());
    }
}

/// The next four words of each of four rows.
#[inline(always)]
fn load(from: &[u32], row_words: usize, at: usize) -> Rows {
    [0, 1, 2, 3].map(|row| vector(bytemuck::cast_slice(&from[row * row_words + at..]), 0))
}

/// 16 bytes from `at` on.
#[inline(always)]
fn vector(bytes: &[u8], at: usize) -> v128 {
    let bytes = &bytes[at..][..16];
    // SAFETY: the slice holds 16 bytes, and v128_load needs no alignment.
    unsafe { v128_load(bytes.as_ptr().cast()) }
}

#[inline(always)]
fn store(to: &mut [u32], value: v128) {
    let to = &mut to[..STEP];
    // SAFETY: the slice holds 16 bytes, and v128_store needs no alignment.
    unsafe { v128_store(to.as_mut_ptr().cast(), value) };
}
