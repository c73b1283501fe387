//! ggml's superblocks of 256 (the "K" formats) to floats.

use crate::ggml_block::half;

/// Decodes a superblock of `Q2_K`: 16 bytes of scales (low nibble) and minima (high nibble), 64 bytes of integers, scale, minimum.
///
/// Bits `2j` and `2j + 1` of 32 bytes are 32 columns, for `j` of 0 to 3; then come the next 32 bytes.
pub(crate) fn q2_k(block: &[u8; 84], weights: &mut [f32; 256]) {
    let (scale, minimum) = (half(block, 80), half(block, 82));
    for (index, (weights, &packed)) in weights.as_chunks_mut::<16>().0.iter_mut().zip(&block[..16]).enumerate() {
        let (step, least) = (scale * f32::from(packed & 15), minimum * f32::from(packed >> 4));
        let (bytes, shift) = two_bits(index);
        for (weight, byte) in weights.iter_mut().zip(&block[16 + bytes..]) {
            *weight = step * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// Where the 16 columns of block `index` have their two bits: the first byte, and the shift.
const fn two_bits(index: usize) -> (usize, usize) {
    (index / 8 * 32 + index % 2 * 16, index % 8 / 2 * 2)
}

/// Decodes a superblock of `Q3_K`.
pub(crate) fn q3_k(block: &[u8; 110], weights: &mut [f32; 256]) {
    let (scale, integers) = q3_k_integers(block);
    for (weight, integer) in weights.iter_mut().zip(integers) {
        *weight = scale * f32::from(integer);
    }
}

/// The scale of a superblock of `Q3_K`, and each column's integer times its block's scale: -124 to 128.
///
/// The bytes are 32 of third bits (bit `j` for the `j`-th 32 columns; a clear bit means 4 less), 64 of lower bits as in `Q2_K`, 12 of
/// 6-bit scales, offset by 32 (a nibble each in the first 8, then two bits each), and the scale.
pub(crate) fn q3_k_integers(block: &[u8; 110]) -> (f32, [i16; 256]) {
    let (thirds, rest) = block.split_at(32);
    let (lower, scales) = rest.split_at(64);
    let mut products = [0; 256];
    for (index, products) in products.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let nibble = if index < 8 { scales[index] & 15 } else { scales[index - 8] >> 4 };
        let upper = scales[8 + index % 4] >> (2 * (index / 4)) & 3;
        let scale = i16::from(nibble | upper << 4) - 32;
        let (bytes, shift) = two_bits(index);
        let third = 1u8 << (index / 2);
        for (column, product) in products.iter_mut().enumerate() {
            let low = i16::from(lower[bytes + column] >> shift & 3);
            let is_low = thirds[index % 2 * 16 + column] & third == 0;
            *product = scale * (low - if is_low { 4 } else { 0 });
        }
    }
    (half(block, 108), products)
}

/// Decodes a superblock of `Q4_K`: scale, minimum, 12 bytes of scales and minima, 128 bytes of integers, of which 32 bytes hold 32 columns
/// in their low nibbles and the next 32 in their high ones.
pub(crate) fn q4_k(block: &[u8; 144], weights: &mut [f32; 256]) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    for (index, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (step, least) = six_bits(&block[4..16], index);
        let (step, least) = (scale * f32::from(step), minimum * f32::from(least));
        for (weight, byte) in weights.iter_mut().zip(&block[16 + index / 2 * 32..]) {
            *weight = step * f32::from(byte >> (index % 2 * 4) & 15) - least;
        }
    }
}

/// Decodes a superblock of `Q5_K`: as `Q4_K` with 32 bytes of fifth bits (bit `j` for the `j`-th 32 columns) before the integers.
pub(crate) fn q5_k(block: &[u8; 176], weights: &mut [f32; 256]) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    let fifths = &block[16..48];
    for (index, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (step, least) = six_bits(&block[4..16], index);
        let (step, least) = (scale * f32::from(step), minimum * f32::from(least));
        for ((weight, byte), fifth) in weights.iter_mut().zip(&block[48 + index / 2 * 32..]).zip(fifths) {
            let integer = byte >> (index % 2 * 4) & 15 | (fifth >> index & 1) << 4;
            *weight = step * f32::from(integer) - least;
        }
    }
}

/// The 6-bit scale and minimum of block `index` of 8: the first four of each are the lower bits of 4 bytes; the others are nibbles, with
/// their upper two bits above those of the first.
fn six_bits(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        return (packed[index] & 63, packed[index + 4] & 63);
    }
    let nibbles = packed[index + 4];
    (nibbles & 15 | packed[index - 4] >> 6 << 4, nibbles >> 4 | packed[index] >> 6 << 4)
}

/// Decodes a superblock of `Q6_K`: 128 bytes of lower nibbles, 64 of upper bit pairs, 16 scales, the scale of all.
///
/// Of each half of 128 columns, 64 bytes hold the nibbles of columns 0–63 (low) and 64–127 (high); 32 bytes hold the upper bits of
/// columns 0–31 (lowest), 32–63, 64–95 and 96–127.
pub(crate) fn q6_k(block: &[u8; 210], weights: &mut [f32; 256]) {
    let scale = half(block, 208);
    for (index, (weights, &step)) in weights.as_chunks_mut::<16>().0.iter_mut().zip(&block[192..208]).enumerate() {
        let step = scale * f32::from(step as i8);
        let (part, quarter) = (index / 8, index % 8 / 2);
        let lower = &block[part * 64 + index % 4 * 16..];
        let upper = &block[128 + part * 32 + index % 2 * 16..];
        for ((weight, lower), upper) in weights.iter_mut().zip(lower).zip(upper) {
            let integer = lower >> (quarter / 2 * 4) & 15 | (upper >> (2 * quarter) & 3) << 4;
            *weight = step * f32::from(integer as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: [u8; 2] = [0x00, 0x38]; // 0.5 in f16

    #[test]
    fn scales_of_six_bits_are_put_together() {
        let mut packed = [0; 12];
        packed[1] = 0b10_100001; // scale 1 is 33; the upper bits of scale 5 are 2
        packed[5] = 0b01_000111; // minimum 1 is 7; the upper bits of minimum 5 are 1
        packed[9] = 0b1001_0011; // scale 5 is 3 + 2 * 16, minimum 5 is 9 + 16
        assert_eq!(six_bits(&packed, 1), (33, 7));
        assert_eq!(six_bits(&packed, 5), (35, 25));
    }

    #[test]
    fn q3_k_goes_from_minus_124_to_128() {
        let mut block = [0; 110]; // clear third bits: every integer is -4; scales of 0 are -32
        block[108..].copy_from_slice(&HALF);
        let (scale, products) = q3_k_integers(&block);
        assert_eq!((scale, products[0], products[255]), (0.5, 128, 128));
        block[96..108].fill(0xFF); // scales of 31
        assert!(q3_k_integers(&block).1.iter().all(|&product| product == -124));
    }

    #[test]
    fn a_superblock_by_hand() {
        let mut block = [0; 210];
        block[208..].copy_from_slice(&HALF);
        block[192..208].fill(2);
        block[0] = 0x51; // columns 0 and 64
        block[128] = 0b10_00_00_11; // upper bits: 3 of column 0, 2 of column 96
        let mut weights = [0.0; 256];
        q6_k(&block, &mut weights);
        assert_eq!((weights[0], weights[64], weights[96], weights[1]), (17.0, -27.0, 0.0, -32.0));
    }
}
