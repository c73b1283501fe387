//! Floats to blocks of 32 integers with a scale, in the layout of [`eyas_core::WeightKind`].

use eyas_core::BLOCK;

/// Quantises a block to 8 bits: `scale = max |weight| / 127`, integers to nearest. Answers the scale, or `None` where a weight is not
/// finite.
pub(crate) fn q8(block: &[f32; BLOCK], words: &mut [u32]) -> Option<f32> {
    let largest = largest(block)?.abs();
    let scale = largest / 127.0;
    for (word, weights) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        // A scale of zero stands for weights that are zero, or too small for any scale.
        let quants = weights.map(|weight| if scale == 0.0 { 0 } else { (weight / scale).round_ties_even() as i8 });
        *word = u32::from_le_bytes(quants.map(|quant| quant.max(-127) as u8));
    }
    Some(scale)
}

/// Quantises a block to 4 bits as ggml's reference does: the weight of largest magnitude becomes exactly -8, so that
/// `scale = weight / -8`; others to nearest. Answers the scale, or `None` where a weight is not finite.
pub(crate) fn q4(block: &[f32; BLOCK], words: &mut [u32]) -> Option<f32> {
    let scale = largest(block)? / -8.0;
    for (word, weights) in words.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = weights.iter().enumerate().fold(0, |word, (nibble, &weight)| {
            let quant = if scale == 0.0 { 8 } else { ((weight / scale).round_ties_even() + 8.0).clamp(0.0, 15.0) as u32 };
            word | quant << (4 * nibble)
        });
    }
    Some(if scale == 0.0 { 0.0 } else { scale })
}

/// The weight of largest magnitude, the first one of several; `None` where a weight is not finite.
fn largest(block: &[f32; BLOCK]) -> Option<f32> {
    let finite = block.iter().all(|weight| weight.is_finite());
    finite.then(|| block.iter().fold(0.0, |largest: f32, &weight| if weight.abs() > largest.abs() { weight } else { largest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(weights: &[f32]) -> [f32; BLOCK] {
        std::array::from_fn(|column| weights.get(column).copied().unwrap_or(0.0))
    }

    #[test]
    fn q8_by_hand() {
        let mut words = [0; 8];
        // The scale is 127 / 127 = 1: integers are the weights, rounded.
        assert_eq!(q8(&block(&[1.0, -2.0, 127.0, 0.6, -127.0]), &mut words), Some(1.0));
        assert_eq!(words[0].to_le_bytes(), [1, 254, 127, 1]);
        assert_eq!(words[1].to_le_bytes(), [129, 0, 0, 0]);
    }

    #[test]
    fn q4_by_hand() {
        let mut words = [0; 4];
        // The largest is 16, so the scale is -2: 16 -> -8 + 8 = 0; -16 -> 8 + 8, clamped to 15; 2 -> -1 + 8 = 7.
        assert_eq!(q4(&block(&[16.0, -16.0, 2.0, -3.9]), &mut words), Some(-2.0));
        assert_eq!(words, [0x8888_A7F0, 0x8888_8888, 0x8888_8888, 0x8888_8888]);
    }

    #[test]
    fn zero_blocks_are_zero_and_infinite_ones_are_refused() {
        let mut words = [1; 8];
        assert_eq!(q8(&block(&[0.0, -0.0]), &mut words), Some(0.0));
        assert_eq!(words, [0; 8]);
        assert_eq!(q4(&block(&[-0.0]), &mut words[..4]).map(f32::to_bits), Some(0));
        assert_eq!(words[..4], [0x8888_8888; 4]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(q8(&block(&[1.0, bad]), &mut words), None);
            assert_eq!(q4(&block(&[1.0, bad]), &mut words), None);
        }
    }

    #[test]
    fn extremes_stay_finite() {
        let mut words = [0; 8];
        assert!(q8(&block(&[f32::MAX, f32::MIN]), &mut words).unwrap().is_finite());
        assert_eq!(q8(&block(&[1e-45]), &mut words), Some(0.0));
        assert_eq!(q4(&block(&[1e-45]), &mut words[..4]), Some(0.0));
    }
}
