//! Packs any bytes as rows of any kind into any kind, and unpacks what came of it.
#![no_main]

use eyas_core::WeightKind;
use eyas_weights::{SourceKind, pack_rows, unpack_rows};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [source, target, cols, bytes @ ..] = bytes else { return };
    let source = SourceKind::ALL[usize::from(*source) % SourceKind::ALL.len()];
    let target = WeightKind::ALL[usize::from(*target) % WeightKind::ALL.len()];
    let cols = (usize::from(*cols) + 1).next_multiple_of(source.block_len());
    let rows = bytes.len() / source.row_bytes(cols);
    let stored = &bytes[..rows * source.row_bytes(cols)];
    if let Ok(packed) = pack_rows(source, stored, rows, cols, target) {
        let weights = unpack_rows(target, &packed.words, &packed.scales, rows, cols);
        assert_eq!(weights.len(), rows * cols);
        assert!(!target.is_quantized() || weights.iter().all(|weight| weight.is_finite()));
    }
});
