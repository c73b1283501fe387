//! Stored rows to the layout in which a matrix is held and multiplied.

use eyas_core::{BLOCK, Error, Result, WeightKind};
use half::{bf16, f16};

use crate::{
    SourceKind,
    decode::{check_rows, decode_row, resize},
    quantize,
    repack::repack,
};

/// Rows of a matrix as [`WeightKind`] lays them out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PackedRows {
    /// `[rows, words_per_row]`, row-major.
    pub words: Vec<u32>,
    /// `[rows, blocks_per_row]`, row-major; empty where the kind has no scales.
    pub scales: Vec<f32>,
}

/// Packs `rows` rows of `cols` columns as they are stored (`bytes`) into the layout of `target`.
///
/// Where `target` is `source.natural()` and the source [`is_exact`](SourceKind::is_exact), not a bit is lost; everything else goes
/// through the floats of [`crate::decode_rows`], a row at a time, and is rounded to nearest. Fails with
/// `bad-model` where a weight is not finite and the target is quantised (float targets hold it as it is), with `unsupported-model` where
/// a finite weight is too large for a 16-bit float, with `internal` where the number of bytes is another than rows and columns need, and
/// with `out-of-memory`. Rows in messages are counted from the first of `bytes`.
pub fn pack_rows(source: SourceKind, bytes: &[u8], rows: usize, cols: usize, target: WeightKind) -> Result<PackedRows> {
    pack_scaled(source, bytes, rows, cols, target, &|_, _| {})
}

/// As [`pack_rows`], where `scale` multiplies the floats of each row (counted from the first of `bytes`) that is not moved bit by bit. It is called once
/// a row, and is no parameter of a type, so that the loops are compiled in this crate.
pub fn pack_scaled(
    source: SourceKind,
    bytes: &[u8],
    rows: usize,
    cols: usize,
    target: WeightKind,
    scale: &dyn Fn(usize, &mut [f32]),
) -> Result<PackedRows> {
    let row_bytes = check_rows(source, bytes, rows, cols)?;
    let mut packed = PackedRows::default();
    if bytes.is_empty() {
        return Ok(packed);
    }
    let words_per_row = target.words_per_row(cols);
    let blocks_per_row = target.blocks_per_row(cols);
    resize(&mut packed.words, rows, words_per_row)?;
    resize(&mut packed.scales, rows, blocks_per_row)?;
    let exact = source.is_exact() && target == source.natural();
    let mut weights = Vec::new();
    if !exact {
        // Whole blocks, so that what pads the row is zero.
        resize(&mut weights, 1, cols.next_multiple_of(BLOCK))?;
    }
    let stored_rows = bytes.chunks_exact(row_bytes).zip(packed.words.chunks_exact_mut(words_per_row));
    let mut scales = packed.scales.as_mut_slice();
    for (row, (stored, words)) in stored_rows.enumerate() {
        let row_scales;
        (row_scales, scales) = scales.split_at_mut(blocks_per_row.min(scales.len()));
        let done = if exact {
            repack(source, stored, words, row_scales)
        } else {
            decode_row(source, stored, &mut weights[..cols]);
            scale(row, &mut weights[..cols]);
            encode(target, &weights, words, row_scales)
        };
        done.map_err(|error| error.context(format_args!("row {row}")))?;
    }
    Ok(packed)
}

/// Rounds a row of floats, padded with zeros to whole blocks, to `target`.
fn encode(target: WeightKind, weights: &[f32], words: &mut [u32], scales: &mut [f32]) -> Result<()> {
    match target {
        WeightKind::F32 => {
            for (word, weight) in words.iter_mut().zip(weights) {
                *word = weight.to_bits();
            }
        }
        WeightKind::F16 => encode_halves(weights, words, "f16", |weight| {
            let half = f16::from_f32(weight);
            (half.to_bits(), half.is_infinite())
        })?,
        WeightKind::Bf16 => encode_halves(weights, words, "bf16", |weight| {
            let half = bf16::from_f32(weight);
            (half.to_bits(), half.is_infinite())
        })?,
        WeightKind::Q8 => {
            for ((block, words), scale) in weights.as_chunks::<BLOCK>().0.iter().zip(words.as_chunks_mut::<8>().0).zip(scales) {
                *scale = quantize::q8(block, words).ok_or_else(not_finite)?;
            }
        }
        WeightKind::Q4 => {
            for ((block, words), scale) in weights.as_chunks::<BLOCK>().0.iter().zip(words.as_chunks_mut::<4>().0).zip(scales) {
                *scale = quantize::q4(block, words).ok_or_else(not_finite)?;
            }
        }
    }
    Ok(())
}

fn encode_halves(weights: &[f32], words: &mut [u32], kind: &str, round: impl Fn(f32) -> (u16, bool)) -> Result<()> {
    for (word, pair) in words.iter_mut().zip(weights.as_chunks::<2>().0) {
        let [(low, low_infinite), (high, high_infinite)] = pair.map(&round);
        if (low_infinite && pair[0].is_finite()) || (high_infinite && pair[1].is_finite()) {
            return Err(Error::unsupported(format!(
                "expected weights that {kind} can hold, found {} and {}; keep the weights as they are stored, or quantise them",
                pair[0], pair[1]
            )));
        }
        *word = u32::from(low) | u32::from(high) << 16;
    }
    Ok(())
}

pub(crate) fn not_finite() -> Error {
    Error::bad_model(
        "expected finite weights, found NaN or infinity; the file is damaged, or its model was not trained to an end",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(weights: &[f32]) -> Vec<u8> {
        weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }

    #[test]
    fn halves_are_paired_and_padded_row_by_row() {
        let bytes = [1u16, 2, 3, 4, 5, 6].map(u16::to_le_bytes).concat();
        let packed = pack_rows(SourceKind::F16, &bytes, 2, 3, WeightKind::F16).unwrap();
        assert_eq!(packed.words, [0x0002_0001, 3, 0x0005_0004, 6]);
        let packed = pack_rows(SourceKind::F32, &f32s(&[1.0, -2.0, 1.0]), 1, 3, WeightKind::F16).unwrap();
        assert_eq!(packed.words, [0xC000_3C00, 0x3C00]);
    }

    #[test]
    fn q4_nibbles_come_in_column_order() {
        // Byte b holds column b (low nibble) and column 16 + b (high nibble).
        let mut block = vec![0x00, 0x3C];
        block.extend((0..16u8).map(|byte| byte | (15 - byte) << 4));
        let packed = pack_rows(SourceKind::Q4_0, &block, 1, 32, WeightKind::Q4).unwrap();
        assert_eq!(packed.words, [0x7654_3210, 0xFEDC_BA98, 0x89AB_CDEF, 0x0123_4567]);
        assert_eq!(packed.scales, [1.0]);
    }

    #[test]
    fn q4_pads_with_eights_and_q8_with_zeros() {
        let packed = pack_rows(SourceKind::F32, &f32s(&[-8.0]), 1, 1, WeightKind::Q4).unwrap();
        assert_eq!((packed.words, packed.scales), (vec![0x8888_8880, 0x8888_8888, 0x8888_8888, 0x8888_8888], vec![1.0]));
        let packed = pack_rows(SourceKind::F32, &f32s(&[127.0]), 1, 1, WeightKind::Q8).unwrap();
        assert_eq!((packed.words, packed.scales), (vec![127, 0, 0, 0, 0, 0, 0, 0], vec![1.0]));
    }

    #[test]
    fn what_is_not_finite_is_refused_where_it_has_no_place() {
        let bytes = f32s(&[0.0, f32::NAN]);
        for target in [WeightKind::Q8, WeightKind::Q4] {
            let error = pack_rows(SourceKind::F32, &bytes, 2, 1, target).unwrap_err();
            assert!(error.code() == "bad-model" && error.detail().starts_with("row 1: "), "{error}");
        }
        assert!(pack_rows(SourceKind::F32, &bytes, 2, 1, WeightKind::F16).is_ok());
        let large = pack_rows(SourceKind::F32, &f32s(&[1e6]), 1, 1, WeightKind::F16).unwrap_err();
        assert_eq!(large.code(), "unsupported-model");
        let infinite_scale = [&[0x00, 0x7C][..], &[1; 32]].concat();
        assert_eq!(pack_rows(SourceKind::Q8_0, &infinite_scale, 1, 32, WeightKind::Q8).unwrap_err().code(), "bad-model");
        assert!(pack_rows(SourceKind::Q8_0, &infinite_scale, 1, 32, WeightKind::F32).is_ok());
    }

    #[test]
    fn nothing_packs_to_nothing() {
        for target in WeightKind::ALL {
            assert_eq!(pack_rows(SourceKind::F32, &[], 0, 7, target).unwrap(), PackedRows::default());
            assert_eq!(pack_rows(SourceKind::Q8_0, &[], usize::MAX, 0, target).unwrap(), PackedRows::default());
        }
    }
}
