//! A real model against what another implementation computed from it: 256 greedy tokens and their logits.

use std::path::Path;

use conformance::{Loading, answer, greedy, largest_difference, read_f32s, shared};
use eyas_core::FinishReason;
use eyas_engine::{Engine, Prompt};
use eyas_kernels::KernelDevice;
use pollster::block_on;

const VOCAB: usize = 512;

struct Oracle {
    ids: Vec<u32>,    // BOS and 255 greedy tokens
    logits: Vec<f32>, // [256, 512]: at each of them
}

fn oracle() -> Option<Oracle> {
    let folder = shared("oracles/stories260K")?;
    let text = std::fs::read_to_string(folder.join("greedy_token_ids.json")).unwrap();
    let ids: Vec<u32> = serde_json::from_str(&text).unwrap();
    let logits = read_f32s(&folder.join("greedy_logits_f32le_512.bin"));
    assert_eq!((ids[0], logits.len()), (1, 256 * VOCAB));
    Some(Oracle { ids, logits })
}

fn argmax(logits: &[f32]) -> u32 {
    logits.iter().enumerate().max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i))).unwrap().0 as u32
}

/// The tokens after BOS, by greedy decoding of the empty prompt.
fn greedy_ids(engine: &Engine, count: usize) -> Vec<u32> {
    answer(engine, Prompt::Text(String::new()), greedy(count)).token_ids
}

/// All tokens and logits, within `tolerance`, from whatever file and on whatever device.
fn check(path: &Path, device: KernelDevice, tolerance: f32) {
    let Some(oracle) = oracle() else { return };
    let engine = Loading::default().on(device).load(path);
    let expected: Vec<u32> = oracle.logits.chunks(VOCAB).map(argmax).collect();
    assert_eq!(expected[..255], oracle.ids[1..256], "the oracle agrees with itself");
    assert_eq!(greedy_ids(&engine, 256), expected);
    let logits = block_on(engine.logits(&oracle.ids[..256])).unwrap();
    let (worst, at) = largest_difference(&logits, &oracle.logits);
    println!("{}: largest logit difference {worst:.2e} at position {}, token {}", path.display(), at / VOCAB, at % VOCAB);
    assert!(worst <= tolerance, "{worst} at position {}, token {}; at most {tolerance}", at / VOCAB, at % VOCAB);
}

#[test]
fn safetensors_on_the_cpu() {
    let Some(path) = shared("oracles/stories260K/hf") else { return };
    check(&path, conformance::cpu(), 1e-3);
}

/// The weights are rounded to 11 bits: logits (up to 17) move by up to 0.02.
#[test]
fn f16_gguf_on_the_cpu() {
    let Some(path) = shared("oracles/stories260K/stories260K-f16.gguf") else { return };
    check(&path, conformance::cpu(), 2e-2);
}

#[test]
fn safetensors_on_the_gpu() {
    let Some(path) = shared("oracles/stories260K/hf") else { return };
    let Some(gpu) = conformance::gpu() else { return };
    check(&path, gpu, 1e-3);
}

/// 8-bit weights may tip a close decision: then the test says where, and by how much the reference's own choice had won.
#[test]
fn q8_0_gguf_gives_the_same_64_tokens_or_says_where_not() {
    let (Some(path), Some(oracle)) = (shared("oracles/stories260K/stories260K-q8_0.gguf"), oracle()) else { return };
    let engine = Loading::default().load(&path);
    let found = greedy_ids(&engine, 64);
    match found.iter().zip(&oracle.ids[1..]).position(|(found, expected)| found != expected) {
        None => println!("q8_0: the first 64 greedy ids are equal"),
        Some(step) => {
            let row = &oracle.logits[step * VOCAB..(step + 1) * VOCAB];
            let margin = row[oracle.ids[step + 1] as usize] - row[found[step] as usize];
            println!("q8_0: token {step} is {} instead of {}, which had won by {margin:.4}", found[step], oracle.ids[step + 1]);
            assert!(margin < 0.5, "a decision by {margin} must survive 8-bit weights");
        }
    }
}

#[test]
fn the_story_begins_as_it_is_known_to() {
    let Some(path) = shared("oracles/stories260K/hf") else { return };
    let completion = answer(&Loading::default().load(&path), Prompt::Text(String::new()), greedy(40));
    let known = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.";
    assert!(known.starts_with(completion.text.trim()) || completion.text.trim().starts_with(known), "{}", completion.text);
    assert_eq!(completion.finish_reason, FinishReason::Length);
}
