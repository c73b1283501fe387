//! Products with 4-bit row groups in WebAssembly's relaxed SIMD, as a module of its own: where the browser has the instructions it is instantiated on the main
//! module's memory (docs/adr/0010-relaxed-simd.md). It has no data and no stack: whatever a function needs is in registers, or the caller's.
//!
//! Each kernel is there twice, by quads and by pairs: see [`Quads`] and [`Pairs`]. What of their instructions is relaxed does not matter here: nibbles are below
//! 16, so that no intermediate sum is out of range, and both ways and every engine give the same. Layouts are those of `row_groups.rs` and `relaxed.rs` in
//! `src/cpu`.
#![no_std]
#![warn(clippy::pedantic, unsafe_op_in_unsafe_fn, missing_docs)]
#![allow(clippy::missing_safety_doc, reason = "each function's arguments are described; the caller is `relaxed.rs`")]
#![allow(clippy::inline_always, clippy::needless_range_loop, reason = "loops over registers, which are unrolled")]
#![allow(clippy::cast_ptr_alignment, reason = "WebAssembly's vectors need no alignment")]

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i8x16_splat, i16x8_add, i16x8_relaxed_dot_i8x16_i7x16, i16x8_splat,
    i32x4_add, i32x4_dot_i16x8, i32x4_extract_lane, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_splat, u8x16_splat, u16x8_shr, v128,
    v128_and, v128_load, v128_load32_splat, v128_store,
};

/// Columns of a block.
const BLOCK: usize = 32;

/// Rows of a group.
const GROUP: usize = 8;

/// Groups that a product with one token reads side by side.
const STREAMS: usize = 4;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// Sums of a block's products for four rows, whose weights are nibbles less 8.
trait Sums: Copy {
    /// Nothing added yet; `eights` is what the eights of the block amount to.
    fn new(eights: v128) -> Self;

    /// Adds the products of four columns, the same in each lane of 32 bits, with those of four rows.
    fn plus(self, x: v128, nibbles: v128) -> Self;

    /// The sums of the block, as integers of 32 bits.
    fn whole(self, eights: v128) -> v128;
}

/// Four products are added at once (`i32x4.relaxed_dot_i8x16_i7x16_add_s`): a single instruction of a processor with AVX-VNNI or ARM's dot products.
#[derive(Clone, Copy)]
struct Quads(v128);

impl Sums for Quads {
    #[inline(always)]
    fn new(eights: v128) -> Self {
        Self(eights)
    }

    #[inline(always)]
    fn plus(self, x: v128, nibbles: v128) -> Self {
        Self(i32x4_relaxed_dot_i8x16_i7x16_add(x, nibbles, self.0))
    }

    #[inline(always)]
    fn whole(self, _: v128) -> v128 {
        self.0
    }
}

/// Two products make a sum of 16 bits (`i16x8.relaxed_dot_i8x16_i7x16_s`, and an addition): a single instruction of any x64 processor with SSSE3, where V8
/// makes five of [`Quads`] unless there is AVX-VNNI. A block has eight of them for each lane, which are at most 8 · 2 · 127 · 15 = 30,480.
#[derive(Clone, Copy)]
struct Pairs(v128);

impl Sums for Pairs {
    #[inline(always)]
    fn new(_: v128) -> Self {
        Self(i16x8_splat(0))
    }

    #[inline(always)]
    fn plus(self, x: v128, nibbles: v128) -> Self {
        Self(i16x8_add(self.0, i16x8_relaxed_dot_i8x16_i7x16(x, nibbles)))
    }

    #[inline(always)]
    fn whole(self, eights: v128) -> v128 {
        i32x4_add(i32x4_dot_i16x8(self.0, i16x8_splat(1)), eights)
    }
}

/// Whether this processor has no single instruction for quads, as far as that shows. A sum of four products of 127 and a byte of 255, which is out of the second
/// operand's range, tells how the instruction is done: 129,540 by AVX-VNNI, -508 where both operands have signs, as on ARM, and something else where two sums
/// of 16 bits, both of which are cut off, are added.
#[unsafe(no_mangle)]
pub extern "C" fn prefers_pairs(seven_bits: i8, eight_bits: u8) -> bool {
    let sums = i32x4_relaxed_dot_i8x16_i7x16_add(i8x16_splat(seven_bits), u8x16_splat(eight_bits), i32x4_splat(0));
    let [sum, factor] = [i32x4_extract_lane::<0>(sums), 4 * i32::from(seven_bits)];
    sum != factor * i32::from(eight_bits) && sum != factor * i32::from(eight_bits.cast_signed())
}

#[inline(always)]
unsafe fn vector<T>(from: *const T, index: usize) -> v128 {
    // SAFETY: the caller's; no alignment is needed.
    unsafe { v128_load(from.cast::<v128>().add(index)) }
}

#[inline(always)]
fn add_scaled(acc: v128, sums: v128, scales: v128, x_scale: v128) -> v128 {
    f32x4_add(acc, f32x4_mul(f32x4_convert_i32x4(sums), f32x4_mul(scales, x_scale)))
}

/// A token's input, rounded: integers, and a scale and the integers' sum for each block.
#[derive(Clone, Copy)]
struct Input {
    values: *const i8,
    scales: *const f32,
    sums: *const i32,
}

impl Input {
    /// The input from the block of 32 with this number on.
    #[inline(always)]
    unsafe fn at_block(self, index: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { Self { values: self.values.add(index * BLOCK), scales: self.scales.add(index), sums: self.sums.add(index) } }
    }

    /// Four columns in each lane of 32 bits.
    #[inline(always)]
    unsafe fn quad(self, index: usize) -> v128 {
        // SAFETY: the caller's.
        unsafe { v128_load32_splat(self.values.add(4 * index).cast()) }
    }

    #[inline(always)]
    unsafe fn scale(self) -> v128 {
        // SAFETY: the caller's.
        unsafe { v128_load32_splat(self.scales.cast()) }
    }

    /// What the eights amount to that a block's nibbles are too large by.
    #[inline(always)]
    unsafe fn eights(self) -> v128 {
        // SAFETY: the caller's.
        i32x4_splat(unsafe { *self.sums } * -8)
    }
}

/// Adds to `out` the products of `x` with as many of the groups as are a multiple of [`STREAMS`], and returns how many these are. The groups take turns, octet by
/// octet, so that they share what is loaded of the token.
#[inline(always)]
unsafe fn dot<S: Sums>(
    out: *mut f32,
    words: *const u32,
    scales: *const f32,
    x: Input,
    groups: usize,
    (blocks, octets): (usize, usize),
) -> usize {
    let mask = i8x16_splat(15);
    let part = groups / STREAMS;
    for group in 0..part {
        let mut acc = [[f32x4_splat(0.0); 2]; STREAMS];
        // SAFETY: the caller's: all of these are there.
        unsafe {
            let at: [usize; STREAMS] = core::array::from_fn(|n| (group + n * part) * blocks);
            let mut words = at.map(|block| words.add(block * BLOCK).cast::<v128>());
            let mut scales = at.map(|block| scales.add(block * GROUP).cast::<v128>());
            let mut x = x;
            for _ in 0..blocks {
                let mut sums = [[S::new(x.eights()); 2]; STREAMS];
                for _ in 0..octets {
                    let (low, high) = (x.quad(0), x.quad(1));
                    x.values = x.values.add(8);
                    for n in 0..STREAMS {
                        for half in 0..2 {
                            let word = v128_load(words[n].add(half));
                            let sums = &mut sums[n][half];
                            *sums = sums.plus(low, v128_and(word, mask)).plus(high, v128_and(u16x8_shr(word, 4), mask));
                        }
                        words[n] = words[n].add(2);
                    }
                }
                for n in 0..STREAMS {
                    for half in 0..2 {
                        let sums = sums[n][half].whole(x.eights());
                        acc[n][half] = add_scaled(acc[n][half], sums, v128_load(scales[n].add(half)), x.scale());
                    }
                    scales[n] = scales[n].add(2);
                }
                (x.scales, x.sums) = (x.scales.add(1), x.sums.add(1));
            }
            for n in 0..STREAMS {
                for half in 0..2 {
                    let out = out.add((group + n * part) * GROUP).cast::<v128>().add(half);
                    v128_store(out, f32x4_add(v128_load(out), acc[n][half]));
                }
            }
        }
    }
    part * STREAMS
}

#[inline(always)]
unsafe fn add_block<S: Sums, const TILE: usize>(
    acc: *mut f32,
    words: *const u32,
    scales: *const f32,
    x: Input,
    tokens: usize,
    unpacked: *mut u8,
) {
    let mask = i8x16_splat(15);
    // SAFETY: the caller's: all of these are there.
    unsafe {
        for octet in 0..4 {
            for half in 0..2 {
                let word = vector(words, 2 * octet + half);
                let to = unpacked.cast::<v128>().add(4 * octet + half);
                v128_store(to, v128_and(word, mask));
                v128_store(to.add(2), v128_and(u16x8_shr(word, 4), mask));
            }
        }
        let mut token = 0;
        while token < tokens {
            let (acc, x) = (acc.add(token * GROUP), x.at_block(token));
            token += match tokens - token {
                1 => add_tokens::<S, 1>(acc, x, unpacked, scales),
                left if left < TILE => add_tokens::<S, 2>(acc, x, unpacked, scales),
                _ => add_tokens::<S, TILE>(acc, x, unpacked, scales),
            };
        }
    }
}

/// [`add_block`] for N tokens, whose sums stay in registers; returns N.
#[inline(always)]
unsafe fn add_tokens<S: Sums, const N: usize>(acc: *mut f32, x: Input, unpacked: *const u8, scales: *const f32) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let mut sums: [[S; 2]; N] = core::array::from_fn(|token| [S::new(x.at_block(token).eights()); 2]);
        for quad in 0..8 {
            let low = vector(unpacked, 2 * quad);
            let high = vector(unpacked, 2 * quad + 1);
            for token in 0..N {
                let x = x.at_block(token).quad(quad);
                sums[token] = [sums[token][0].plus(x, low), sums[token][1].plus(x, high)];
            }
        }
        for token in 0..N {
            let x = x.at_block(token);
            for half in 0..2 {
                let acc = acc.add(token * GROUP).cast::<v128>().add(half);
                let sums = sums[token][half].whole(x.eights());
                v128_store(acc, add_scaled(v128_load(acc), sums, vector(scales, half), x.scale()));
            }
        }
    }
    N
}

/// The kernels with one kind of sums, and how many tokens' sums stay in registers.
macro_rules! kernels {
    ($sums:ty, $tile:literal, $dot:ident, $add:ident) => {
        /// Adds the products of one token with the first of `groups` whole groups of `blocks` blocks each to `out` `[groups, 8]`; returns how many it did. `octets` is 4:
        /// a loop that the compiler can count it writes out, and then has more values at once than there are registers.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $dot(
            out: *mut f32,
            words: *const u32,
            scales: *const f32,
            x: *const i8,
            x_scales: *const f32,
            x_sums: *const i32,
            groups: usize,
            blocks: usize,
            octets: usize,
        ) -> usize {
            let x = Input { values: x, scales: x_scales, sums: x_sums };
            // SAFETY: the caller's.
            unsafe { dot::<$sums>(out, words, scales, x, groups, (blocks, octets)) }
        }

        /// Adds the products of one block of a group with the blocks `x` `[tokens, 32]` to `acc` `[tokens, 8]`; `unpacked` (256 bytes) is scratch.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $add(
            acc: *mut f32,
            words: *const u32,
            scales: *const f32,
            x: *const i8,
            x_scales: *const f32,
            x_sums: *const i32,
            tokens: usize,
            unpacked: *mut u8,
        ) {
            let x = Input { values: x, scales: x_scales, sums: x_sums };
            // SAFETY: the caller's.
            unsafe { add_block::<$sums, $tile>(acc, words, scales, x, tokens, unpacked) }
        }
    };
}

kernels!(Quads, 5, dot_q4_by_quads, add_q4_block_by_quads);
kernels!(Pairs, 4, dot_q4_by_pairs, add_q4_block_by_pairs);
