//! Headers damaged at random, the same way in every run: none may panic, claim bytes outside of its file, or make more memory
//! be allocated than its size accounts for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model_bytes;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use eyas_core::{ErrorKind, Result};
use eyas_weights::{Checkpoint, decode_rows};
use model_bytes::{Gguf, array, good_safetensors, open_folder, open_gguf, open_safetensors, safetensors, tensor};
use pollster::block_on;

/// Counts what the current thread has allocated.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NOW.set(NOW.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(NOW.get()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at a time during `work`, beyond those before it.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

/// Steele and Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn damage(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = good.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(file.len());
        match random.below(8) {
            0 => file.truncate(at),
            1 => file.insert(at, random.next() as u8),
            2 => {
                let end = (at + random.below(40)).min(file.len());
                let copy = file[at..end].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, copy);
            }
            3 => {
                let end = (at + random.below(40)).min(file.len());
                file.drain(at..end);
            }
            4 => {
                let extremes = [0, 1, 0x7F, 1 << 31, u64::from(u32::MAX), 1 << 32, 1 << 62, 1 << 63, u64::MAX - 7, u64::MAX];
                let number = extremes[random.below(extremes.len())].to_le_bytes();
                let width = [4, 8][random.below(2)];
                for (byte, new) in file[at..].iter_mut().zip(&number[..width]) {
                    *byte = *new;
                }
            }
            5 => {
                // In JSON: another digit, bracket or quote.
                let symbols = b"0123456789-.eE[]{},:\"\\ ";
                if let Some(byte) = file.get_mut(at) {
                    *byte = symbols[random.below(symbols.len())];
                }
            }
            6 => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        }
        if file.is_empty() {
            break;
        }
    }
    file
}

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
