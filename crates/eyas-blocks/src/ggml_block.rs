//! ggml's blocks of 32 to floats.

use half::f16;

/// The weights that the nibbles of `IQ4_NL` stand for, before the scale: ggml's table for weights that are normally distributed.
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The `f16` at `bytes[at..]`; zero behind the end, which no caller reads.
pub(crate) fn half(bytes: &[u8], at: usize) -> f32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    f16::from_le_bytes(bytes).to_f32()
}

/// The nibbles of 16 bytes in the order of columns: the low ones, then the high ones.
pub(crate) fn nibbles(bytes: &[u8]) -> [u8; 32] {
    let mut nibbles = [0; 32];
    let (low, high) = nibbles.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = byte & 15;
        *high = byte >> 4;
    }
    nibbles
}

/// The integers of a block of `Q5_0` or `Q5_1`, 0 to 31, from 32 fifth bits and 16 bytes of nibbles.
pub(crate) fn five_bits(block: &[u8], at: usize) -> [u8; 32] {
    let (high, low) = block.get(at..).and_then(<[u8]>::split_first_chunk).unwrap_or((&[0; 4], &[]));
    let high = u32::from_le_bytes(*high);
    let mut integers = nibbles(low);
    for (column, integer) in integers.iter_mut().enumerate() {
        *integer |= ((high >> column & 1) as u8) << 4;
    }
    integers
}

/// Decodes a block of `Q4_1`.
pub(crate) fn q4_1(block: &[u8; 20], weights: &mut [f32; 32]) {
    affine(half(block, 0), half(block, 2), nibbles(&block[4..]), weights);
}

/// Decodes a block of `Q5_1`.
pub(crate) fn q5_1(block: &[u8; 24], weights: &mut [f32; 32]) {
    affine(half(block, 0), half(block, 2), five_bits(block, 4), weights);
}

fn affine(scale: f32, minimum: f32, integers: [u8; 32], weights: &mut [f32; 32]) {
    for (weight, integer) in weights.iter_mut().zip(integers) {
        *weight = scale * f32::from(integer) + minimum;
    }
}

/// The scale and the integers of a block of `Q5_0`.
pub(crate) fn q5_0(block: &[u8; 22]) -> (f32, [i8; 32]) {
    (half(block, 0), five_bits(block, 2).map(|integer| integer as i8 - 16))
}

/// The scale and the integers of a block of `IQ4_NL`.
pub(crate) fn iq4_nl(block: &[u8; 18]) -> (f32, [i8; 32]) {
    (half(block, 0), nibbles(&block[2..]).map(|index| IQ4_VALUES[usize::from(index & 15)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    // 0.5 is 0x3800 in f16, -2 is 0xC000.

    #[test]
    fn minima_are_added() {
        let mut block = [0x11; 20];
        block[..5].copy_from_slice(&[0x00, 0x38, 0x00, 0xC0, 0xF0]);
        let mut weights = [0.0; 32];
        q4_1(&block, &mut weights);
        assert_eq!((weights[0], weights[1], weights[16]), (-2.0, -1.5, 5.5));
        let mut block = [0x11; 24];
        block[..9].copy_from_slice(&[0x00, 0x38, 0x00, 0xC0, 0x01, 0x00, 0x01, 0x00, 0xF0]);
        q5_1(&block, &mut weights);
        // Column 0 is 0 with the fifth bit, column 16 is 15 with it, column 1 is 1 without.
        assert_eq!((weights[0], weights[1], weights[16]), (6.0, -1.5, 13.5));
    }

    #[test]
    fn integers_are_centred() {
        let mut block = [0; 22];
        block[..7].copy_from_slice(&[0x00, 0x38, 0x00, 0x00, 0x01, 0x80, 0xF3]);
        let (scale, integers) = q5_0(&block);
        assert_eq!((scale, integers[0], integers[1], integers[16], integers[31]), (0.5, -13, -16, 15, 0));
        let mut block = [0x88; 18];
        block[..3].copy_from_slice(&[0x00, 0x38, 0xF0]);
        let (scale, integers) = iq4_nl(&block);
        assert_eq!((scale, integers[0], integers[1], integers[16]), (0.5, -127, 1, 113));
    }
}
