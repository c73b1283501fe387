//! What a load and an answer on the CPU ask the allocator for, beside what the plan says of them. The plan speaks of tensors; a tokenizer, tables of
//! positions and the records of modules come beside it. A binary of its own: it counts every byte of the process.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use conformance::{Loading, folder_files, repository, skip};
use eyas_core::{DeviceKind, Event, GenerateOptions, LoadOptions, Quantize};
use eyas_engine::{LoadNeed, ModelHeaders, Prompt, Request};
use pollster::block_on;

/// The system's allocator, with a count of what is live and the most that was. A vector that grows in place counts as what it grows by.
struct Counted;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

fn folders() -> Vec<PathBuf> {
    let goldens = repository().join("tests/goldens");
    let mut folders: Vec<_> = std::fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders
        .retain(|path| ["llama-", "family-"].iter().any(|start| path.file_name().unwrap().to_string_lossy().starts_with(start)));
    folders.sort();
    folders.push(repository().join("www/eyas/models/eyas-nano"));
    folders
}

#[test]
fn a_load_and_an_answer_take_what_the_plan_says() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !folder.join("config.json").exists() {
            skip(&format!("{name} is no folder with a model"));
            continue;
        }
        for quantize in [Quantize::None, Quantize::Q8] {
            let options = LoadOptions { quantize, ..LoadOptions::default() };
            let Ok(need) = block_on(ModelHeaders::open(&folder_files(&folder))).unwrap().need(&options, DeviceKind::Cpu) else {
                continue;
            };
            let LoadNeed { weight_bytes, cache_bytes, scratch_bytes, staging_bytes, .. } = need;
            let before = LIVE.load(Relaxed);
            PEAK.store(before, Relaxed);
            let engine = Loading::default().quantized(quantize).load(&folder);
            let (loaded, load_peak) = (LIVE.load(Relaxed) - before, PEAK.load(Relaxed) - before);
            PEAK.store(LIVE.load(Relaxed), Relaxed);
            let session = engine.session();
            let request = Request::new(
                Prompt::Ids(vec![1; need.context_tokens / 2]),
                GenerateOptions { max_tokens: Some(2), ..GenerateOptions::default() },
            );
            let mut generation = session.start(&request).unwrap();
            while !matches!(block_on(generation.next()).unwrap(), Event::Done(_)) {}
            let (answered, answer_peak) = (LIVE.load(Relaxed) - before, PEAK.load(Relaxed) - before);
            let peak = load_peak.max(answer_peak) as u64;
            let planned = weight_bytes + cache_bytes + scratch_bytes + staging_bytes;
            println!(
                "{name} {quantize:?}: {peak} bytes at most, {planned} planned; {loaded} after the load, {answered} after an answer"
            );
            assert!(
                loaded as u64 >= weight_bytes && (loaded as u64) < weight_bytes + BESIDE_BYTES + text_bytes(&folder),
                "{name}"
            );
            let cache = (answered - loaded) as u64;
            assert!(cache >= cache_bytes && cache < cache_bytes + CACHE_RECORDS_BYTES, "{name}: {cache}, planned {cache_bytes}");
            assert!(peak <= planned + BESIDE_BYTES + text_bytes(&folder), "{name}: {peak}, planned {planned}");
        }
    }
}

/// What is no tensor: tables of positions, and the records of modules and tensors.
const BESIDE_BYTES: u64 = 192 << 10;
/// The records of a cache's tensors.
const CACHE_RECORDS_BYTES: u64 = 16 << 10;

/// The most that a tokenizer takes in memory: so many times its file.
fn text_bytes(folder: &std::path::Path) -> u64 {
    std::fs::metadata(folder.join("tokenizer.json")).map_or(0, |file| 4 * file.len())
}
