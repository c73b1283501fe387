//! Activations as integers, so that products with integer weights are integer dot products.

use eyas_core::BLOCK;

use super::integer;

/// What a block of 32 values is rounded to.
pub(super) trait Rounded: Copy + Default {
    /// Rounds a block; returns its scale and the sum of the integers.
    fn round_block(x: &[f32; BLOCK], out: &mut [Self; BLOCK]) -> (f32, i32);
}

/// 15 bits and a sign keep the error below 2⁻¹⁶ of the block's largest value, at the price of 8 bits: the vector instruction multiplies 16-bit lanes either way.
impl Rounded for i16 {
    fn round_block(x: &[f32; BLOCK], out: &mut [Self; BLOCK]) -> (f32, i32) {
        integer::quantize_block(x, out)
    }
}

/// Tokens `[t, cols]` rounded to integers with one scale for each block of 32 columns: `x ≈ scale · integer`.
///
/// Everything is `[block][token]`, so that a product of many tokens reads one block of all of them in a row.
pub(super) struct QuantizedInput<T> {
    pub(super) tokens: usize,
    /// `[block][token][32]`.
    pub(super) values: Vec<T>,
    /// `[block][token]`.
    pub(super) scales: Vec<f32>,
    /// `[block][token]`: the sum of a block's integers, for weights that are stored with an offset.
    pub(super) sums: Vec<i32>,
}

impl<T: Rounded> QuantizedInput<T> {
    /// Rounds `x`, whose rows have `cols` values; a row's last block is padded with zeros.
    pub(super) fn new(x: &[f32], cols: usize) -> Self {
        let (tokens, blocks) = (x.len() / cols, cols.div_ceil(BLOCK));
        let mut input = Self {
            tokens,
            values: vec![T::default(); blocks * tokens * BLOCK],
            scales: vec![0.0; blocks * tokens],
            sums: vec![0; blocks * tokens],
        };
        for (token, row) in x.chunks_exact(cols).enumerate() {
            for (block, values) in row.chunks(BLOCK).enumerate() {
                let at = block * tokens + token;
                let padded;
                let values = if let Ok(whole) = <&[f32; BLOCK]>::try_from(values) {
                    whole
                } else {
                    padded = std::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0));
                    &padded
                };
                let Some(out) = input.values[at * BLOCK..].first_chunk_mut() else { continue };
                (input.scales[at], input.sums[at]) = T::round_block(values, out);
            }
        }
        input
    }

    /// Integers of all tokens of a block, `[token][32]`, and their scales.
    pub(super) fn block(&self, block: usize) -> (&[T], &[f32]) {
        (&self.values[block * self.tokens * BLOCK..][..self.tokens * BLOCK], &self.scales[block * self.tokens..][..self.tokens])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_fifteen_bits_and_pads_with_zeros() {
        let x: Vec<f32> = (0..2 * 40).map(|i| ((i * 37 % 19) as f32 - 9.0) * 0.01).collect();
        let input = QuantizedInput::<i16>::new(&x, 40);
        assert_eq!((input.tokens, input.scales.len(), input.values.len()), (2, 4, 128));
        for token in 0..2 {
            for column in 0..64 {
                let at = column / 32 * 2 + token;
                let found = f32::from(input.values[at * 32 + column % 32]) * input.scales[at];
                let expected = if column < 40 { x[token * 40 + column] } else { 0.0 };
                assert!((found - expected).abs() <= 0.09 / 65534.0 * 1.01, "token {token} column {column}: {found} {expected}");
            }
        }
        let sum: i32 = input.values[..32].iter().map(|v| i32::from(*v)).sum();
        assert_eq!(input.sums[0], sum);
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let input = QuantizedInput::<i16>::new(&[0.0; 32], 32);
        assert_eq!((input.scales[0], input.sums[0]), (0.0, 0));
        assert!(input.values.iter().all(|v| *v == 0));
    }
}
