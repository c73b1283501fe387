//! Tiny random Llama models against `transformers` (tests/reference/make_llama_goldens.py), on every device.

use std::path::PathBuf;

use conformance::{Golden, Loading, answer, golden_folder, greedy, largest_difference};
use eyas_core::Quantize;
use eyas_engine::Prompt;
use eyas_kernels::KernelDevice;
use pollster::block_on;

const NAMES: [&str; 4] = ["llama-gqa-llama3", "llama-tied-linear", "llama-mqa-f16", "llama-yarn"];

/// The model's folder, and the same model as GGUF where the golden has one.
fn models(name: &str) -> Vec<PathBuf> {
    let folder = golden_folder(name);
    let gguf = folder.join("model.gguf");
    let mut models = vec![folder];
    models.extend(gguf.exists().then_some(gguf));
    models
}

/// Logits at all positions within `tolerance` of the largest logit, and the same greedy ids.
fn check(device: &KernelDevice, tolerance: f32) {
    for name in NAMES {
        let golden = Golden::read(&golden_folder(name));
        for model in models(name) {
            let engine = Loading::default().on(device.clone()).load(&model);
            let logits = block_on(engine.logits(&golden.sequence())).unwrap();
            let (worst, at) = largest_difference(&logits, &golden.logits);
            let (worst, vocab) = (worst / golden.largest_logit, engine.config().vocab_size);
            println!("{}: {worst:.1e} of the largest logit, at position {}", model.display(), at / vocab);
            assert!(worst <= tolerance, "{}: {worst:.1e} at position {}, at most {tolerance:.1e}", model.display(), at / vocab);
            let completion = answer(&engine, Prompt::Ids(golden.ids.clone()), greedy(golden.greedy_ids.len()));
            assert_eq!(completion.token_ids, golden.greedy_ids, "{}", model.display());
        }
    }
}

#[test]
fn logits_and_greedy_ids_on_the_cpu() {
    check(&conformance::cpu(), 1e-4);
}

#[test]
fn logits_and_greedy_ids_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    check(&gpu, 1e-3);
}

/// Quantised on the way in: 8 bits stay close, 4 bits stay correlated. Weights of random models are Gaussian, the hardest case.
#[test]
fn quantised_logits_stay_near() {
    for name in NAMES {
        let golden = Golden::read(&golden_folder(name));
        for (quantize, bound) in [(Quantize::Q8, 0.05), (Quantize::Q4, 0.6)] {
            let engine = Loading::default().quantized(quantize).load(&golden_folder(name));
            let logits = block_on(engine.logits(&golden.sequence())).unwrap();
            let error: f64 = logits.iter().zip(&golden.logits).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let signal: f64 = golden.logits.iter().map(|b| f64::from(*b).powi(2)).sum();
            let relative = (error / signal).sqrt();
            println!("{name}, {quantize:?}: relative RMS error {relative:.4}");
            assert!(relative < bound, "{name}, {quantize:?}: relative RMS error {relative:.4}, at most {bound}");
        }
    }
}
