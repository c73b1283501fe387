//! Packing over random matrices: error bounds, exact repacks, and agreement with decoding.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eyas_blocks::{SourceKind, decode_rows, pack_rows, unpack_rows};
use eyas_core::{BLOCK, WeightKind};
use half::{bf16, f16};
use proptest::prelude::*;

fn floats() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -4.0f32..4.0, 1 => Just(0.0), 1 => prop::num::f32::NORMAL.prop_map(|weight| weight % 60_000.0)]
}

/// Rows, columns and that many floats.
fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1usize..4, 1usize..100).prop_flat_map(|(rows, cols)| (Just(rows), Just(cols), prop::collection::vec(floats(), rows * cols)))
}

/// Rows, columns and stored bytes, with scales that are finite.
fn stored() -> impl Strategy<Value = (SourceKind, usize, usize, Vec<u8>)> {
    (prop::sample::select(&SourceKind::ALL[..]), 1usize..4, 1usize..4).prop_flat_map(|(kind, rows, blocks)| {
        let cols = if kind.is_quantized() { blocks * kind.block_len() } else { blocks * 5 };
        prop::collection::vec(any::<u8>(), rows * kind.row_bytes(cols)).prop_map(move |mut bytes| {
            for block in bytes.chunks_exact_mut(kind.block_bytes()) {
                // A clear top bit of the exponent keeps every float finite.
                for &at in exponents(kind) {
                    block[at] &= 0xBF;
                }
            }
            (kind, rows, cols, bytes)
        })
    })
}

/// Where a block has the upper bytes of its floats.
fn exponents(kind: SourceKind) -> &'static [usize] {
    match kind {
        SourceKind::F32 => &[3],
        SourceKind::F16 | SourceKind::Bf16 | SourceKind::Q8_0 | SourceKind::Q4_0 | SourceKind::Q5_0 | SourceKind::Iq4Nl => &[1],
        SourceKind::F8E4M3 => &[0],
        SourceKind::Q4_1 | SourceKind::Q5_1 | SourceKind::Q4K | SourceKind::Q5K => &[1, 3],
        SourceKind::Q2K => &[81, 83],
        SourceKind::Q3K => &[109],
        SourceKind::Q6K => &[209],
        other => panic!("{other} has no place here yet"),
    }
}

fn bytes(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// The largest error that a weight may have, given the largest magnitude of its block.
fn bound(target: WeightKind, weight: f32, largest: f32) -> f32 {
    let relative = match target {
        WeightKind::F32 => 0.0,
        // Half a unit in the last of 11 and 8 significant bits; below f16's normal numbers, half of 2^-24.
        WeightKind::F16 => weight.abs() / 2048.0 + 3.0e-8,
        WeightKind::Bf16 => weight.abs() / 256.0,
        WeightKind::Q8 => largest / 254.0,
        // Bounded as a block, below.
        WeightKind::Q4 => largest,
    };
    relative * 1.001 + 1e-37
}

/// A block rounded as ggml's `Q4_0` does it, with the scale in 32 bits: the weight of largest magnitude becomes -8.
fn plain_q4(block: &[f32]) -> Vec<f32> {
    let largest = block.iter().fold(0.0f32, |largest, &weight| if weight.abs() > largest.abs() { weight } else { largest });
    let scale = largest / -8.0;
    let quant = |weight: f32| if largest == 0.0 { 0.0 } else { (weight / scale).round_ties_even().clamp(-8.0, 7.0) };
    block.iter().map(|&weight| scale * quant(weight)).collect()
}

fn squared_error(expected: &[f32], found: &[f32]) -> f64 {
    expected.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unpacked_weights_are_near((rows, cols, weights) in matrix()) {
        let bytes = bytes(&weights);
        for target in WeightKind::ALL {
            let packed = pack_rows(SourceKind::F32, &bytes, rows, cols, target).unwrap();
            prop_assert_eq!(packed.words.len(), rows * target.words_per_row(cols));
            prop_assert_eq!(packed.scales.len(), rows * target.blocks_per_row(cols));
            let back = unpack_rows(target, &packed.words, &packed.scales, rows, cols);
            for (row, back) in weights.chunks(cols).zip(back.chunks(cols)) {
                for (block, back) in row.chunks(BLOCK).zip(back.chunks(BLOCK)) {
                    let largest = block.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
                    for (&weight, &back) in block.iter().zip(back) {
                        let error = (weight - back).abs();
                        prop_assert!(error <= bound(target, weight, largest), "{:?}: {} became {}", target, weight, back);
                    }
                    if target == WeightKind::Q4 {
                        let found = squared_error(block, back);
                        let plain = squared_error(block, &plain_q4(block));
                        prop_assert!(found <= plain * 1.0001 + 1e-30, "{found} for {plain} of plain rounding: {block:?}");
                    }
                }
            }
            // What pads a row is exactly zero.
            let padded = target.words_per_row(cols) * match target {
                WeightKind::F32 => 1,
                WeightKind::F16 | WeightKind::Bf16 => 2,
                WeightKind::Q8 => 4,
                WeightKind::Q4 => 8,
            };
            let all = unpack_rows(target, &packed.words, &packed.scales, rows, padded);
            for row in all.chunks(padded) {
                prop_assert!(row[cols..].iter().all(|&weight| weight == 0.0));
            }
        }
    }

    #[test]
    fn the_natural_kind_is_exact((kind, rows, cols, bytes) in stored()) {
        prop_assume!(kind.is_exact());
        let packed = pack_rows(kind, &bytes, rows, cols, kind.natural()).unwrap();
        let decoded = decode_rows(kind, &bytes, rows, cols).unwrap();
        let back = unpack_rows(kind.natural(), &packed.words, &packed.scales, rows, cols);
        // A zero may change its sign where scale and integers do.
        let bits = |weights: &[f32]| weights.iter().map(|weight| (weight + 0.0).to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&decoded));
    }

    #[test]
    fn other_kinds_pack_what_decoding_gives((kind, rows, cols, bytes_stored) in stored()) {
        let decoded = bytes(&decode_rows(kind, &bytes_stored, rows, cols).unwrap());
        for target in WeightKind::ALL {
            if kind.is_exact() && target == kind.natural() {
                continue;
            }
            match (pack_rows(kind, &bytes_stored, rows, cols, target), pack_rows(SourceKind::F32, &decoded, rows, cols, target)) {
                (Ok(direct), Ok(through)) => prop_assert_eq!(direct, through),
                (Err(direct), Err(through)) => prop_assert_eq!(direct.detail(), through.detail()),
                (direct, through) => prop_assert!(false, "{:?} and {:?}", direct, through),
            }
        }
    }

    #[test]
    fn sixteen_bit_floats_round_to_nearest_even(weights in prop::collection::vec(floats(), 2)) {
        let f16_pair = pack_rows(SourceKind::F32, &bytes(&weights), 1, 2, WeightKind::F16).unwrap().words[0];
        prop_assert_eq!(f16_pair, f16::from_f32(weights[0]).to_bits() as u32 | (f16::from_f32(weights[1]).to_bits() as u32) << 16);
        let bf16_pair = pack_rows(SourceKind::F32, &bytes(&weights), 1, 2, WeightKind::Bf16).unwrap().words[0];
        prop_assert_eq!(bf16_pair, bf16::from_f32(weights[0]).to_bits() as u32 | (bf16::from_f32(weights[1]).to_bits() as u32) << 16);
    }

    #[test]
    fn any_bytes_pack_or_fail_but_never_panic(
        kind in prop::sample::select(&SourceKind::ALL[..]),
        target in prop::sample::select(&WeightKind::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        rows in 0usize..5,
        cols in prop_oneof![0usize..70, (0usize..3).prop_map(|superblocks| superblocks * 256)],
    ) {
        let _ = pack_rows(kind, &bytes, rows, cols, target);
        let _ = decode_rows(kind, &bytes, rows, cols);
        // The same with the right number of bytes.
        let right = kind.row_bytes(cols) * rows;
        let bytes: Vec<u8> = bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { right }).collect();
        let _ = pack_rows(kind, &bytes, rows, cols, target);
        let _ = decode_rows(kind, &bytes, rows, cols);
    }
}

#[test]
fn ties_round_to_even() {
    // Between the f16 neighbours 1 and 1 + 2^-10, and between 1 + 2^-10 and 1 + 2^-9.
    let ties = bytes(&[1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0]);
    assert_eq!(pack_rows(SourceKind::F32, &ties, 1, 2, WeightKind::F16).unwrap().words, [0x3C02_3C00]);
}
