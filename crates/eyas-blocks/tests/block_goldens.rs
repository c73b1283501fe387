//! Every block format against the dequantiser of the `gguf` package, and 8-bit floats against torch
//! (tests/reference/make_block_goldens.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use eyas_blocks::{SourceKind, decode_rows, pack_rows, unpack_rows};
use eyas_core::WeightKind;

/// Stored bytes and expected weights.
fn golden(name: &str) -> (Vec<u8>, Vec<f32>) {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/goldens/blocks");
    let read = |end: &str| fs::read(folder.join(format!("{name}.{end}"))).unwrap();
    let weights = read("f32").as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (read("blocks"), weights)
}

fn check(kind: SourceKind, name: &str) {
    let (blocks, expected) = golden(name);
    let (rows, cols) = (2, expected.len() / 2);
    let decoded = decode_rows(kind, &blocks, rows, cols).unwrap();
    for (column, (found, expected)) in decoded.iter().zip(&expected).enumerate() {
        let equal = (found - expected).abs() <= 0.0 || (found.is_nan() && expected.is_nan());
        assert!(equal, "{name} {column}: {found} for {expected}");
    }
    if kind.is_quantized() {
        let packed = pack_rows(kind, &blocks, rows, cols, kind.natural()).unwrap();
        let held = unpack_rows(kind.natural(), &packed.words, &packed.scales, rows, cols);
        for (held, expected) in held.chunks(32).zip(expected.chunks(32)) {
            let largest = expected.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let bound = if kind.is_exact() { 0.0 } else { largest / 254.0 * 1.0001 };
            for (held, expected) in held.iter().zip(expected) {
                assert!((held - expected).abs() <= bound, "{name}: {held} for {expected}");
            }
        }
    }
}

#[test]
fn blocks_decode_as_the_reference_has_it() {
    let mut checked = 0;
    for kind in SourceKind::ALL {
        if kind.is_quantized() {
            check(kind, &kind.to_string());
            checked += 1;
        }
    }
    assert_eq!(checked, 11);
}

#[test]
fn what_the_reference_quantised_decodes_alike() {
    for kind in [SourceKind::Q4_0, SourceKind::Q4_1, SourceKind::Q5_0, SourceKind::Q5_1, SourceKind::Q8_0] {
        check(kind, &format!("{kind}.rounded"));
    }
}

#[test]
fn every_8_bit_float_is_torchs() {
    check(SourceKind::F8E4M3, "F8_E4M3");
    // 4 significant bits fit into the 8 of a 16-bit brain float.
    let (bytes, expected) = golden("F8_E4M3");
    let packed = pack_rows(SourceKind::F8E4M3, &bytes, 1, 256, WeightKind::Bf16).unwrap();
    let held = unpack_rows(WeightKind::Bf16, &packed.words, &packed.scales, 1, 256);
    assert_eq!(held.iter().zip(&expected).filter(|(held, expected)| held.to_bits() == expected.to_bits()).count(), 254);
}
