//! Integer products of row groups in plain Rust, shaped so that the compiler vectorises them. See `row_groups` for the layouts.

use eyas_core::BLOCK;

use super::row_groups::{GROUP, GroupRows};

/// Rounds a block to `i16`; returns its scale and the sum of the integers.
pub(super) fn quantize_block(x: &[f32; BLOCK], out: &mut [i16; BLOCK]) -> (f32, i32) {
    // A block with what is no number has no number as its scale.
    let largest = if x.iter().any(|v| v.is_nan()) { f32::NAN } else { x.iter().fold(0.0_f32, |largest, v| largest.max(v.abs())) };
    let scale = largest / 32767.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut sum = 0;
    for (out, x) in out.iter_mut().zip(x) {
        // `as` saturates, and makes 0 of what is no number.
        *out = (x * inverse).round_ties_even() as i16;
        sum += i32::from(*out);
    }
    (scale, sum)
}

/// Weights of a 4-bit block of a group as pairs: `[16 pairs][8 rows][2]`.
pub(super) fn unpack_q4(words: &[u32], out: &mut [i16; BLOCK * GROUP]) {
    for (octet, units) in words.chunks_exact(GROUP).enumerate() {
        for (row, unit) in units.iter().enumerate() {
            for n in 0..4 {
                let at = ((octet * 4 + n) * GROUP + row) * 2;
                out[at] = (unit >> (4 * n) & 15) as i16 - 8;
                out[at + 1] = (unit >> (16 + 4 * n) & 15) as i16 - 8;
            }
        }
    }
}

/// Weights of an 8-bit block of a group as pairs: `[16 pairs][8 rows][2]`.
pub(super) fn unpack_q8(words: &[u32], out: &mut [i16; BLOCK * GROUP]) {
    for (out, byte) in out.iter_mut().zip(bytemuck::cast_slice::<u32, i8>(words)) {
        *out = i16::from(*byte);
    }
}

/// The products of the eight rows of an unpacked block with one token's block.
fn block_product(weights: &[i16; BLOCK * GROUP], x: &[i16]) -> [i32; GROUP] {
    let mut sums = [0_i32; GROUP];
    for (weights, x) in weights.chunks_exact(2 * GROUP).zip(x.chunks_exact(2)) {
        for row in 0..GROUP {
            sums[row] += i32::from(weights[2 * row]) * i32::from(x[0]) + i32::from(weights[2 * row + 1]) * i32::from(x[1]);
        }
    }
    sums
}

fn add_scaled(acc: &mut [f32; GROUP], sums: [i32; GROUP], scales: &[f32], x_scale: f32) {
    for row in 0..GROUP {
        acc[row] += sums[row] as f32 * (scales[row] * x_scale);
    }
}

/// Adds the products of one token with groups of eight rows of 4-bit blocks to `out` `[groups, 8]`. N makes no difference here.
pub(super) fn dot_q4<const N: usize>(groups: GroupRows, x: &[i16], x_scales: &[f32], _x_sums: &[i32], out: &mut [f32]) {
    dot(groups, BLOCK, unpack_q4, x, x_scales, out);
}

/// Adds the products of one token with groups of eight rows of 8-bit blocks to `out` `[groups, 8]`. N makes no difference here.
pub(super) fn dot_q8<const N: usize>(groups: GroupRows, x: &[i16], x_scales: &[f32], out: &mut [f32]) {
    dot(groups, 2 * BLOCK, unpack_q8, x, x_scales, out);
}

fn dot(
    (words, scales): GroupRows,
    block_words: usize,
    unpack: fn(&[u32], &mut [i16; BLOCK * GROUP]),
    x: &[i16],
    x_scales: &[f32],
    out: &mut [f32],
) {
    let blocks = x_scales.len();
    let count = out.len() / GROUP;
    assert!(out.len() == count * GROUP && words.len() >= count * blocks * block_words && scales.len() >= count * blocks * GROUP);
    let mut weights = [0; BLOCK * GROUP];
    let groups = words.chunks_exact(blocks * block_words).zip(scales.chunks_exact(blocks * GROUP));
    for (out, (words, scales)) in out.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
        let mut acc = [0.0; GROUP];
        let blocks = words.chunks_exact(block_words).zip(scales.chunks_exact(GROUP)).zip(x.chunks_exact(BLOCK)).zip(x_scales);
        for (((words, scales), x), x_scale) in blocks {
            unpack(words, &mut weights);
            add_scaled(&mut acc, block_product(&weights, x), scales, *x_scale);
        }
        out.iter_mut().zip(acc).for_each(|(out, sum)| *out += sum);
    }
}

/// Adds the products of an unpacked block with the blocks `x` `[t, 32]` of all tokens to `acc` `[t, 8]`.
pub(super) fn add_block(weights: &[i16; BLOCK * GROUP], scales: &[f32], x: &[i16], x_scales: &[f32], acc: &mut [[f32; GROUP]]) {
    for ((x, x_scale), acc) in x.chunks_exact(BLOCK).zip(x_scales).zip(acc) {
        add_scaled(acc, block_product(weights, x), scales, *x_scale);
    }
}
