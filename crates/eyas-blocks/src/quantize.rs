//! Floats to blocks of 32 integers with a scale, in the layout of [`eyas_core::WeightKind`].

use eyas_core::BLOCK;

/// What the weight of largest magnitude is divided by to give a scale that is tried. -8 comes first: it is what plain rounding takes, so
/// that no block can turn out worse. Finer steps or both signs gain less than half a percent of the squared error.
const DIVISORS: [f32; 7] = [-8.0, -7.5, -8.5, -7.0, -9.0, -6.5, -6.0];

/// Quantises a block to 8 bits: `scale = max |weight| / 127`, integers to nearest. Answers the scale, or `None` where a weight is not
/// finite.
pub(crate) fn q8(block: &[f32; BLOCK], words: &mut [u32]) -> Option<f32> {
    let largest = largest(block)?.abs();
    let scale = largest / 127.0;
    for (word, weights) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        // A scale of zero stands for weights that are zero, or too small for any scale.
        let quants = weights.map(|weight| if scale == 0.0 { 0 } else { nearest(weight / scale) as i8 });
        *word = u32::from_le_bytes(quants.map(|quant| quant.max(-127) as u8));
    }
    Some(scale)
}

/// Quantises a block to 4 bits, `weight ≈ scale * integer` with integers from -8 to 7, so that the sum of squared errors is small: of
/// several scales the one is taken whose integers leave the least error under the scale that fits them best (`Σ w q / Σ q²`, the minimum of
/// the parabola), then once more from that scale. Answers the scale, or `None` where a weight is not finite.
pub(crate) fn q4(block: &[f32; BLOCK], words: &mut [u32]) -> Option<f32> {
    let largest = largest(block)?;
    if largest / 8.0 == 0.0 {
        words.fill(0x8888_8888);
        return Some(0.0);
    }
    // Between -1 and 1, so that no sum overflows.
    let units = block.map(|weight| weight / largest);
    let mut best = Fit::new(&units, DIVISORS[0]);
    for divisor in &DIVISORS[1..] {
        best = best.or(Fit::new(&units, *divisor));
    }
    best = best.or(Fit::new(&units, best.square / best.product));
    for (word, units) in words.iter_mut().zip(units.as_chunks::<8>().0) {
        *word = units.iter().rev().fold(0, |word, &unit| word << 4 | (clamped(unit * best.divisor) + 8.0) as u32);
    }
    Some(largest * (best.product / best.square))
}

/// The integers that a divisor gives, in sums.
#[derive(Clone, Copy)]
struct Fit {
    divisor: f32,
    /// `Σ u q`.
    product: f32,
    /// `Σ q²`; never zero, as the largest weight is far from it.
    square: f32,
}

impl Fit {
    fn new(units: &[f32; BLOCK], divisor: f32) -> Self {
        // Four sums side by side, always in the same order: every machine finds the same scale.
        let (mut products, mut squares) = ([0.0; 4], [0.0; 4]);
        for units in units.as_chunks::<4>().0 {
            for lane in 0..4 {
                let quant = clamped(units[lane] * divisor);
                products[lane] += units[lane] * quant;
                squares[lane] += quant * quant;
            }
        }
        let sum = |lanes: [f32; 4]| (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        Self { divisor, product: sum(products), square: sum(squares) }
    }

    /// The one that leaves less error, `Σ u² - product² / square`; of equals the first.
    fn or(self, other: Self) -> Self {
        let gain = |fit: &Self| fit.product * fit.product * (1.0 / fit.square);
        if gain(&other) > gain(&self) { other } else { self }
    }
}

/// The nearest integer from -8 to 7.
fn clamped(value: f32) -> f32 {
    let value = nearest(value);
    let value = if value > 7.0 { 7.0 } else { value };
    if value < -8.0 { -8.0 } else { value }
}

/// The nearest integer, the even one of two, for magnitudes below 2^22: next to 1.5 * 2^23 an `f32` has no fraction. The library's
/// rounding is a call on machines without an instruction for it.
fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
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
        // -8 times 2 and 7 times 2 fit exactly with a scale of 2, and the divisor -8 finds them: 8 + 7, 8 - 8, 8 + 1.
        assert_eq!(q4(&block(&[14.0, -16.0, 2.0]), &mut words), Some(2.0));
        assert_eq!(words, [0x8888_890F, 0x8888_8888, 0x8888_8888, 0x8888_8888]);
        // Plain rounding takes 16 / -8 = -2 and cuts the other weight to 7 * -2; -16 / 7 fits both.
        assert_eq!(q4(&block(&[16.0, -16.0]), &mut words), Some(-16.0 / 7.0));
        assert_eq!(words[0], 0x8888_88F1);
    }

    #[test]
    fn nearest_is_to_even() {
        for value in [0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 0.499_999_97, 7.3, -127.0_f32] {
            assert_eq!(nearest(value).to_bits() << 1, value.round_ties_even().to_bits() << 1, "{value}");
        }
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
