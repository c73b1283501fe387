//! 8-bit floats.
//!
//! Source: Micikevicius et al., "FP8 Formats for Deep Learning", 2022 (arXiv 2209.05433), table 1: E4M3 has an exponent bias of 7, no
//! infinity, and NaN where all bits but the sign are set.

/// The value of an E4M3 number: `2^(exponent - 7) * (1 + mantissa / 8)`, or `2^-6 * mantissa / 8` where the exponent is zero.
pub(crate) fn e4m3(bits: u8) -> f32 {
    let sign = u32::from(bits & 0x80) << 24;
    let magnitude = u32::from(bits & 0x7F);
    if magnitude == 0x7F {
        return f32::from_bits(sign | f32::NAN.to_bits());
    }
    // Exponent and mantissa moved into those of an f32 are too small by the difference of the biases, 127 - 7; multiplying by a power of
    // two is exact, and turns the subnormal numbers into what they mean.
    let shifted = f32::from_bits(magnitude << 20) * f32::from_bits((127 + 120) << 23);
    f32::from_bits(shifted.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_papers_table() {
        // The largest, the smallest normal one (2^-6), the smallest (2^-9), the largest subnormal one (0.875 * 2^-6), and -1.
        let expected = [448.0, 0.015_625, 0.001_953_125, 0.013_671_875, -1.0_f32];
        assert_eq!([0x7E, 0x08, 0x01, 0x07, 0xB8].map(|bits| e4m3(bits).to_bits()), expected.map(f32::to_bits));
        assert_eq!(e4m3(0x80).to_bits(), 0x8000_0000);
        assert!(e4m3(0x7F).is_nan() && e4m3(0xFF).is_nan());
    }
}
