//! Headers damaged at random, the same way in every run: none may panic, claim bytes outside of its file, or make more memory
//! be allocated than its size accounts for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/fuzz/damage.rs"]
mod damage;
mod model_bytes;

use damage::{Random, damage, peak};
use eyas_core::{ErrorKind, Result};
use eyas_weights::{Checkpoint, decode_rows};
use model_bytes::{Gguf, array, good_safetensors, open_folder, open_gguf, open_safetensors, safetensors, tensor};
use pollster::block_on;

/// Opens damaged copies of `good`, and checks what opens. Answers how many did.
fn fuzz(good: &[u8], runs: usize, open: impl Fn(Vec<u8>) -> Result<Checkpoint>) -> usize {
    let mut random = Random(42);
    let mut opened = 0;
    for run in 0..runs {
        let file = damage(good, &mut random);
        let size = file.len();
        let (result, peak_bytes) = peak(|| open(file));
        assert!(peak_bytes <= 32 * size + 64 * 1024, "run {run}: a file of {size} bytes took {peak_bytes}");
        match result {
            Ok(checkpoint) => {
                opened += 1;
                check(&checkpoint, run);
            }
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::BadModel | ErrorKind::UnsupportedModel | ErrorKind::ModelNotFound),
                    "run {run}: {error}"
                );
            }
        }
    }
    opened
}

fn check(checkpoint: &Checkpoint, run: usize) {
    let size = checkpoint.total_bytes();
    let mut last = (0, 0);
    for tensor in checkpoint.tensors() {
        assert!(tensor.bytes == 0 || tensor.offset + tensor.bytes <= size, "run {run}: {tensor:?}");
        assert!(last <= (tensor.file, tensor.offset), "run {run}: {tensor:?}");
        last = (tensor.file, tensor.offset);
        assert_eq!(tensor.bytes, (tensor.rows() * tensor.row_bytes()) as u64, "run {run}: {tensor:?}");
        let bytes = block_on(checkpoint.read_rows(tensor, 0..tensor.rows())).unwrap();
        let weights = decode_rows(tensor.kind, &bytes, tensor.rows(), tensor.cols()).unwrap();
        assert_eq!(weights.len(), tensor.rows() * tensor.cols());
    }
}

#[test]
fn damaged_gguf_headers() {
    let opened = fuzz(&Gguf::good().bytes(), 20_000, open_gguf);
    assert!(opened > 100, "only {opened} opened: the damage is too great to reach the checks behind");
}

#[test]
fn damaged_safetensors_headers() {
    let opened = fuzz(&good_safetensors(), 20_000, open_safetensors);
    assert!(opened > 100, "only {opened} opened: the damage is too great to reach the checks behind");
}

#[test]
fn damaged_shard_indexes() {
    let index = br#"{"metadata":{"total_size":4},"weight_map":{"t":"1.safetensors","u":"1.safetensors"}}"#;
    let shard = safetensors(
        r#"{"t":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"u":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}}"#,
        8,
    );
    fuzz(index, 5_000, |index| open_folder(&[("model.safetensors.index.json", index), ("1.safetensors", shard.clone())]));
}

#[test]
fn headers_made_of_the_smallest_items_take_a_bounded_multiple() {
    let limit = |size: usize| 3 * size + (64 << 20);
    let many = 60_000;
    let empty_strings = Gguf::good().with("x", array(8, 1_000_000, &vec![0; 8_000_000])).bytes();
    let empty_arrays: Vec<u8> = (0..many).flat_map(|_| [&4u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat()).collect();
    let empty_arrays = Gguf::good().with("x", array(9, many, &empty_arrays)).bytes();
    let mut tensors = Gguf { tensors: vec![], ..Gguf::good() };
    tensors.tensors = (0..many).map(|number| tensor(&format!("{number:x}"), &[0], 0, 0)).collect();
    for file in [empty_strings, empty_arrays, tensors.bytes()] {
        let size = file.len();
        let (result, peak_bytes) = peak(|| open_gguf(file));
        assert!(result.is_ok(), "{result:?}");
        assert!(peak_bytes <= limit(size), "a file of {size} bytes took {peak_bytes}");
    }
    let entries: Vec<_> = (0..many).map(|n| format!(r#""{n:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    let file = safetensors(&format!("{{{}}}", entries.join(",")), 0);
    let size = file.len();
    let (result, peak_bytes) = peak(|| open_safetensors(file));
    assert!(result.is_ok(), "{result:?}");
    assert!(peak_bytes <= limit(size), "a file of {size} bytes took {peak_bytes}");
    let dims = safetensors(&format!(r#"{{"t":{{"dtype":"F32","shape":[{}0]}}}}"#, "0,".repeat(4_000_000)), 0);
    let size = dims.len();
    let (result, peak_bytes) = peak(|| open_safetensors(dims));
    assert!(result.is_err() && peak_bytes <= limit(size), "a file of {size} bytes took {peak_bytes}");
}
