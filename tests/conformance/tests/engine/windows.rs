//! Caches of layers with sliding windows: what they hold, and that no reuse of them shows.

use conformance::{Loading, answer, answer_with, folder_files, golden_folder, greedy};
use eyas_core::DeviceKind;
use eyas_engine::{Engine, ModelHeaders, Prompt};
use eyas_kernels::KernelDevice;
use pollster::block_on;

const MODELS: [&str; 4] = ["family-mistral-window", "family-gemma2-capped", "family-gemma3-sixth", "family-phi3-long"];

fn load(name: &str, device: &KernelDevice) -> Engine {
    Loading::default().on(device.clone()).chunks_of(4).load(&golden_folder(name))
}

fn prompt(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|i| 6 + (seed * 31 + i * i * 7 + i) % 80).collect()
}

/// A cache takes the window's rows and those of a step, not the context's.
#[test]
fn a_window_bounds_the_memory() {
    let engine = load("family-mistral-window", &conformance::cpu());
    let empty = engine.info().memory_bytes;
    let session = engine.session();
    answer_with(&session, Prompt::Ids(prompt(1, 30)), greedy(4));
    // 2 layers, 7 + 4 - 1 rows of keys and values, 2 heads of 10.
    assert_eq!(engine.info().memory_bytes - empty, 2 * 10 * 2 * 20 * 4);
}

/// What is planned is what is allocated, for every kind of layer.
#[test]
fn a_plan_knows_windows_and_norms() {
    for name in ["family-mistral-window", "family-gemma3-sixth", "family-olmo2-grouped", "family-qwen3-tied", "family-phi3-plain"]
    {
        let loading = Loading::default().chunks_of(4);
        let headers = block_on(ModelHeaders::open(&folder_files(&golden_folder(name)))).unwrap();
        let need = headers.need(&loading.options, DeviceKind::Cpu).unwrap();
        let engine = loading.load(&golden_folder(name));
        let session = engine.session();
        answer_with(&session, Prompt::Ids(prompt(1, 9)), greedy(2));
        assert_eq!(need.weight_bytes + need.cache_bytes, engine.info().memory_bytes, "{name}");
    }
}

fn check_reuse(device: &KernelDevice) {
    for name in MODELS {
        let engine = load(name, device);
        let session = engine.session();
        let first = prompt(1, 40);
        let mut past = first.clone();
        past.extend(answer_with(&session, Prompt::Ids(first), greedy(9)).token_ids);
        // Back by a little, by more than a window's cache has, to before the windows were full, and all of it with more behind.
        for (kept, more) in [(past.len(), 5), (past.len() - 2, 6), (past.len() - 25, 30), (4, 20), (0, 8)] {
            let mut next: Vec<u32> = past[..kept].to_vec();
            next.extend(prompt(2 + kept as u32, more));
            // A CPU's engine would answer in the memory that the last fork has left.
            let unused = if device.is_gpu() { engine.clone() } else { load(name, device) };
            let fresh = answer(&unused, Prompt::Ids(next.clone()), greedy(6));
            let fork = block_on(session.fork()).unwrap();
            for reused in [&fork, &session] {
                let completion = answer_with(reused, Prompt::Ids(next.clone()), greedy(6));
                assert_eq!(completion.token_ids, fresh.token_ids, "{name}, {kept} tokens kept on {}", device.report().name);
                assert!(completion.usage.cached_tokens <= kept);
            }
            past = next;
            past.extend(fresh.token_ids);
        }
    }
}

#[test]
fn a_past_in_windows_does_not_show_on_the_cpu() {
    check_reuse(&conformance::cpu());
}

#[test]
fn a_past_in_windows_does_not_show_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    check_reuse(&gpu);
}

/// A conversation that goes on is not computed again: windows keep what the next token sees.
#[test]
fn what_a_window_still_has_is_reused() {
    let engine = load("family-gemma3-sixth", &conformance::cpu());
    let session = engine.session();
    let mut ids = prompt(3, 40);
    ids.extend(answer_with(&session, Prompt::Ids(ids.clone()), greedy(6)).token_ids);
    let cached = ids.len() - 2;
    ids.truncate(cached + 1);
    ids.extend(prompt(4, 5));
    assert!(answer_with(&session, Prompt::Ids(ids), greedy(2)).usage.cached_tokens >= cached);
}

/// On a CPU the memory of a session that is over is the next one's.
#[test]
fn what_a_session_has_left_does_not_show_in_the_next_one() {
    for name in MODELS.into_iter().chain(["llama-mqa-f16"]) {
        let alone = |seed: u32, count| answer(&load(name, &conformance::cpu()), Prompt::Ids(prompt(seed, count)), greedy(6));
        let expected = [(2, 7), (3, 21), (4, 3)].map(|(seed, count)| alone(seed, count).token_ids);
        let engine = load(name, &conformance::cpu());
        let empty = engine.info().memory_bytes;
        for round in 0..2 {
            let session = engine.session();
            answer_with(&session, Prompt::Ids(prompt(1, 40)), greedy(9));
            let fork = block_on(session.fork()).unwrap();
            drop(session);
            for (seed, count, expected) in [(2, 7, &expected[0]), (3, 21, &expected[1]), (4, 3, &expected[2])] {
                let answered = answer(&engine, Prompt::Ids(prompt(seed, count)), greedy(6));
                assert_eq!(&answered.token_ids, expected, "{name}, round {round}, {count} tokens");
            }
            drop(fork);
            assert_eq!(engine.info().memory_bytes, empty, "{name}");
        }
    }
}
