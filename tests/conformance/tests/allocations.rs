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
use eyas_kernels::KernelDevice;
use pollster::block_on;
use serde_json::Value;

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
            // The load's own cache is the first session's.
            let held = weight_bytes + cache_bytes;
            assert!(
                loaded as u64 >= held && (loaded as u64) < held + BESIDE_BYTES + text_bytes(&folder),
                "{name}: {loaded} after the load, planned {held}"
            );
            assert!(
                (answered as u64) < loaded as u64 + CACHE_RECORDS_BYTES,
                "{name}: {loaded} after the load, {answered} after an answer"
            );
            assert!(peak <= planned + BESIDE_BYTES + text_bytes(&folder), "{name}: {peak}, planned {planned}");
        }
    }
    // Not a test beside the other: the count is the whole process's.
    a_large_matrix_is_loaded_in_pieces();
}

/// A golden whose embedding has so many rows, most of them zeros, in a folder of its own.
fn with_vocabulary(golden: &str, rows: usize) -> PathBuf {
    let from = repository().join("tests/goldens").join(golden);
    let to = std::env::temp_dir().join(format!("eyas-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&to).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    config["vocab_size"] = rows.into();
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();

    let mut data = std::fs::read(from.join("model.safetensors")).unwrap();
    let header_bytes = u64::from_le_bytes(data[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&data[8..8 + header_bytes]).unwrap();
    data.drain(..8 + header_bytes);
    // The larger matrix comes behind all others; what stood for it before is a tensor that no model asks for, so it is left out.
    let embedding = &mut header["model.embed_tokens.weight"];
    let range = [0, 1].map(|end| embedding["data_offsets"][end].as_u64().unwrap() as usize);
    let (columns, before) = (embedding["shape"][1].as_u64().unwrap() as usize, data[range[0]..range[1]].to_vec());
    let value_bytes = (range[1] - range[0]) / columns / embedding["shape"][0].as_u64().unwrap() as usize;
    data.drain(range[0]..range[1]);
    let (start, end) = (data.len(), data.len() + rows * columns * value_bytes);
    data.extend(before);
    data.resize(end, 0);
    for (name, tensor) in header.as_object_mut().unwrap() {
        let Some(offsets) = tensor["data_offsets"].as_array_mut() else { continue };
        if name == "model.embed_tokens.weight" {
            *offsets = vec![start.into(), end.into()];
            tensor["shape"][0] = rows.into();
        } else if offsets[0].as_u64().unwrap() as usize >= range[1] {
            for offset in offsets {
                *offset = (offset.as_u64().unwrap() as usize - (range[1] - range[0])).into();
            }
        }
    }
    let header = header.to_string().into_bytes();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(to.join("model.safetensors"), file).unwrap();
    to
}

/// Of a matrix that is larger than what a load reads at a time, no more than that is there beside what becomes the weights. Where those are on a GPU, it is
/// never whole in the host's memory, though the canary's logits come beside its pieces.
fn a_large_matrix_is_loaded_in_pieces() {
    let folder = with_vocabulary("family-qwen3-tied", LARGE_ROWS);
    for quantize in [Quantize::None, Quantize::Q8, Quantize::Q4] {
        let options = LoadOptions { quantize, context_tokens: Some(16), ..LoadOptions::default() };
        let need = block_on(ModelHeaders::open(&folder_files(&folder))).unwrap().need(&options, DeviceKind::Cpu).unwrap();
        let LoadNeed { weight_bytes, cache_bytes, scratch_bytes, staging_bytes, .. } = need;
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let engine = Loading { options, ..Loading::default() }.load(&folder);
        let peak = (PEAK.load(Relaxed) - before) as u64;
        let planned = weight_bytes + cache_bytes + scratch_bytes + staging_bytes;
        println!(
            "{LARGE_ROWS} rows {quantize:?}: {peak} bytes at most, {planned} planned, {staging_bytes} of them while loading; {weight_bytes} of weights"
        );
        assert!(need.largest_buffer_bytes > 2 << 20 && staging_bytes <= 8 << 20);
        assert!(peak <= planned + BESIDE_BYTES + text_bytes(&folder), "{quantize:?}: {peak}, planned {planned}");
        drop(engine);
    }
    match block_on(KernelDevice::gpu()) {
        Err(error) => skip(&format!("a large matrix on the GPU: {error}")),
        Ok(device) => {
            let before = LIVE.load(Relaxed);
            PEAK.store(before, Relaxed);
            let engine = Loading::default().on(device).context(16).load(&folder);
            let (peak, matrix_bytes) = (PEAK.load(Relaxed) - before, LARGE_ROWS * 36 * 2);
            println!("{LARGE_ROWS} rows on the GPU: {peak} bytes of the host at most; {matrix_bytes} of the matrix");
            assert!(engine.info().memory_bytes > matrix_bytes as u64 && peak < matrix_bytes, "{peak}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Rows of an embedding that takes tens of megabytes.
const LARGE_ROWS: usize = 200_000;

/// What is no tensor: tables of positions, and the records of modules and tensors.
const BESIDE_BYTES: u64 = 192 << 10;
/// The records of a cache's tensors.
const CACHE_RECORDS_BYTES: u64 = 16 << 10;

/// The most that a tokenizer takes in memory: so many times its file.
fn text_bytes(folder: &std::path::Path) -> u64 {
    std::fs::metadata(folder.join("tokenizer.json")).map_or(0, |file| 4 * file.len())
}
