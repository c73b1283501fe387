//! Products with 4-bit row groups in WebAssembly's relaxed SIMD, as a module of its own: where the browser has the instructions it is instantiated on the main
//! module's memory (docs/adr/0010-relaxed-simd.md). It has no data and no stack: whatever a function needs is in registers, or the caller's.
//!
//! A dot product of four bytes with four bytes for each of four rows takes one instruction. What of it is relaxed does not matter here: nibbles are below 16,
//! so that no intermediate sum is out of range, and every engine gives the same. Layouts are those of `row_groups.rs` and `relaxed.rs` in `src/cpu`.
#![no_std]
#![warn(clippy::pedantic, unsafe_op_in_unsafe_fn, missing_docs)]
#![allow(clippy::missing_safety_doc, reason = "each function's arguments are described; the caller is `relaxed.rs`")]
#![allow(clippy::inline_always, clippy::needless_range_loop, reason = "loops over registers, which are unrolled")]
#![allow(clippy::cast_ptr_alignment, reason = "WebAssembly's vectors need no alignment")]

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i8x16_splat, i32x4_relaxed_dot_i8x16_i7x16_add, i32x4_splat,
    u16x8_shr, v128, v128_and, v128_load, v128_load32_splat, v128_store,
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

#[inline(always)]
unsafe fn vector<T>(from: *const T, index: usize) -> v128 {
    // SAFETY: the caller's; no alignment is needed.
    unsafe { v128_load(from.cast::<v128>().add(index)) }
}

#[inline(always)]
fn add_scaled(acc: v128, sums: v128, scales: v128, x_scale: v128) -> v128 {
    f32x4_add(acc, f32x4_mul(f32x4_convert_i32x4(sums), f32x4_mul(scales, x_scale)))
}

/// Adds the products of one token with `groups` whole groups of `blocks` blocks each to `out` `[groups, 8]`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dot_q4(
    out: *mut f32,
    words: *const u32,
    scales: *const f32,
    x: *const i8,
    x_scales: *const f32,
    x_sums: *const i32,
    groups: usize,
    blocks: usize,
) {
    let part = groups / STREAMS;
    // SAFETY: the caller's: all of these are there.
    unsafe {
        for group in 0..part {
            dot::<STREAMS>(out, words, scales, (x, x_scales, x_sums), group, part, blocks);
        }
        for group in part * STREAMS..groups {
            dot::<1>(out, words, scales, (x, x_scales, x_sums), group, 0, blocks);
        }
    }
}

/// [`dot_q4`] for N groups that are `part` apart.
#[inline(always)]
unsafe fn dot<const N: usize>(
    out: *mut f32,
    words: *const u32,
    scales: *const f32,
    (x, x_scales, x_sums): (*const i8, *const f32, *const i32),
    group: usize,
    part: usize,
    blocks: usize,
) {
    let mask = i8x16_splat(15);
    let mut acc = [[f32x4_splat(0.0); 2]; N];
    // SAFETY: the caller's.
    unsafe {
        let words: [*const u32; N] = core::array::from_fn(|n| words.add((group + n * part) * blocks * BLOCK));
        let scales: [*const f32; N] = core::array::from_fn(|n| scales.add((group + n * part) * blocks * GROUP));
        for block in 0..blocks {
            let x = x.add(block * BLOCK);
            let x_scale = v128_load32_splat(x_scales.add(block).cast());
            for n in 0..N {
                let words = words[n].add(block * BLOCK);
                // Weights are nibbles less 8: the eights are taken off all at once.
                let mut sums = [i32x4_splat(*x_sums.add(block) * -8); 2];
                for octet in 0..4 {
                    let low = v128_load32_splat(x.add(octet * 8).cast());
                    let high = v128_load32_splat(x.add(octet * 8 + 4).cast());
                    for half in 0..2 {
                        let word = vector(words, 2 * octet + half);
                        sums[half] = i32x4_relaxed_dot_i8x16_i7x16_add(low, v128_and(word, mask), sums[half]);
                        sums[half] = i32x4_relaxed_dot_i8x16_i7x16_add(high, v128_and(u16x8_shr(word, 4), mask), sums[half]);
                    }
                }
                let scales = scales[n].add(block * GROUP);
                for half in 0..2 {
                    acc[n][half] = add_scaled(acc[n][half], sums[half], vector(scales, half), x_scale);
                }
            }
        }
        for n in 0..N {
            for half in 0..2 {
                let out = out.add((group + n * part) * GROUP).cast::<v128>().add(half);
                v128_store(out, f32x4_add(v128_load(out), acc[n][half]));
            }
        }
    }
}

/// Adds the products of one block of a group with the blocks `x` `[tokens, 32]` to `acc` `[tokens, 8]`; `unpacked` (256 bytes) is scratch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn add_q4_block(
    acc: *mut f32,
    words: *const u32,
    scales: *const f32,
    x: *const i8,
    x_scales: *const f32,
    x_sums: *const i32,
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
            let at = (acc.add(token * GROUP), x.add(token * BLOCK), x_scales.add(token), x_sums.add(token));
            token += match tokens - token {
                1 => add_tokens::<1>(at, unpacked, scales),
                2..=4 => add_tokens::<2>(at, unpacked, scales),
                _ => add_tokens::<5>(at, unpacked, scales),
            };
        }
    }
}

/// [`add_q4_block`] for N tokens, whose sums stay in registers; returns N.
#[inline(always)]
unsafe fn add_tokens<const N: usize>(
    (acc, x, x_scales, x_sums): (*mut f32, *const i8, *const f32, *const i32),
    unpacked: *const u8,
    scales: *const f32,
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let mut sums: [[v128; 2]; N] = core::array::from_fn(|token| [i32x4_splat(*x_sums.add(token) * -8); 2]);
        for quad in 0..8 {
            let low = vector(unpacked, 2 * quad);
            let high = vector(unpacked, 2 * quad + 1);
            for token in 0..N {
                let x = v128_load32_splat(x.add(token * BLOCK + 4 * quad).cast());
                sums[token][0] = i32x4_relaxed_dot_i8x16_i7x16_add(x, low, sums[token][0]);
                sums[token][1] = i32x4_relaxed_dot_i8x16_i7x16_add(x, high, sums[token][1]);
            }
        }
        for token in 0..N {
            let x_scale = v128_load32_splat(x_scales.add(token).cast());
            for half in 0..2 {
                let acc = acc.add(token * GROUP).cast::<v128>().add(half);
                v128_store(acc, add_scaled(v128_load(acc), sums[token][half], vector(scales, half), x_scale));
            }
        }
    }
    N
}
