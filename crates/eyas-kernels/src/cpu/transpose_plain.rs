//! Eight rows brought side by side, in plain Rust. See `row_groups` for the layouts.

use half::f16;

use super::row_groups::GROUP;
pub(super) use super::row_groups::split_pairs;

/// 4-bit weights of eight rows, `[8 rows][row_words]`, to `[row_words][8 rows]` with each word's pairs split.
pub(super) fn q4(from: &[u32], row_words: usize, to: &mut [u32]) {
    for (octet, units) in to.chunks_exact_mut(GROUP).enumerate() {
        for (row, unit) in units.iter_mut().enumerate() {
            *unit = split_pairs(from[row * row_words + octet]);
        }
    }
}

/// 8-bit weights of eight rows, `[8 rows][2 · row_words]` pairs, to `[2 · row_words][8 rows]`.
pub(super) fn q8(from: &[u32], row_words: usize, to: &mut [u32]) {
    let from: &[u16] = bytemuck::cast_slice(from);
    for (pair, units) in bytemuck::cast_slice_mut::<u32, u16>(to).chunks_exact_mut(GROUP).enumerate() {
        for (row, unit) in units.iter_mut().enumerate() {
            *unit = from[row * row_words * 2 + pair];
        }
    }
}

/// Rows of ggml's `Q4_0`, as eight groups of bytes of the same length, to words as [`q4`] makes them and scales `[block][8 rows]`. Answers whether
/// all scales are finite.
pub(super) fn q4_0(rows: [&[u8]; GROUP], words: &mut [u32], scales: &mut [f32]) -> bool {
    for (row, stored) in rows.into_iter().enumerate() {
        for (block, [low, high, quants @ ..]) in stored.as_chunks::<18>().0.iter().enumerate() {
            scales[block * GROUP + row] = f16::from_le_bytes([*low, *high]).to_f32();
            // Byte b holds column b in its low nibble and column 16 + b in its high one.
            for (half, &bytes) in quants.as_chunks::<8>().0.iter().enumerate() {
                let bytes = u64::from_le_bytes(bytes);
                words[(block * 4 + half) * GROUP + row] = octet(bytes);
                words[(block * 4 + 2 + half) * GROUP + row] = octet(bytes >> 4);
            }
        }
    }
    scales.iter().all(|scale| scale.is_finite())
}

/// The low nibbles of eight bytes, even ones in the low half.
fn octet(bytes: u64) -> u32 {
    let nibbles = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    let [a, b, .., c, d, _, _] = (nibbles | nibbles >> 12).to_le_bytes();
    u32::from_le_bytes([a, c, b, d])
}

/// The same for `Q8_0`, to units as [`q8`] makes them.
pub(super) fn q8_0(rows: [&[u8]; GROUP], words: &mut [u32], scales: &mut [f32]) -> bool {
    let units: &mut [u16] = bytemuck::cast_slice_mut(words);
    for (row, stored) in rows.into_iter().enumerate() {
        for (block, [low, high, quants @ ..]) in stored.as_chunks::<34>().0.iter().enumerate() {
            scales[block * GROUP + row] = f16::from_le_bytes([*low, *high]).to_f32();
            for (pair, &bytes) in quants.as_chunks::<2>().0.iter().enumerate() {
                units[(block * 16 + pair) * GROUP + row] = u16::from_le_bytes(bytes);
            }
        }
    }
    scales.iter().all(|scale| scale.is_finite())
}
