//! Tiny random Llama models against `transformers` (tests/reference/make_llama_goldens.py), on every device.

use std::path::{Path, PathBuf};

use conformance::{Golden, Loading, answer, cut_in_turn, golden_folder, greedy, largest_difference};
use eyas_core::Quantize;
use eyas_engine::Prompt;
use eyas_kernels::{KernelDevice, Tuning};
use eyas_weights::{DirectoryFiles, MemoryFiles, ModelFiles};
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
fn check(device: &KernelDevice, golden: &Golden, model: &Path, tolerance: f32) {
    let engine = Loading::default().on(device.clone()).load(model);
    let logits = block_on(engine.logits(&golden.sequence())).unwrap();
    let (worst, at) = largest_difference(&logits, &golden.logits);
    let (worst, vocab) = (worst / golden.largest_logit, engine.config().vocab_size);
    println!("{}: {worst:.1e} of the largest logit, at position {}", model.display(), at / vocab);
    assert!(worst <= tolerance, "{}: {worst:.1e} at position {}, at most {tolerance:.1e}", model.display(), at / vocab);
    let completion = answer(&engine, Prompt::Ids(golden.ids.clone()), greedy(golden.greedy_ids.len()));
    assert_eq!(completion.token_ids, golden.greedy_ids, "{}", model.display());
}

fn check_all(device: &KernelDevice, tolerance: f32) {
    for name in NAMES {
        let golden = Golden::read(&golden_folder(name));
        for model in models(name) {
            check(device, &golden, &model, tolerance);
        }
    }
}

#[test]
fn logits_and_greedy_ids_on_the_cpu() {
    check_all(&conformance::cpu(), 1e-4);
}

#[test]
fn logits_and_greedy_ids_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    check_all(&gpu, 1e-3);
}

#[test]
fn logits_and_greedy_ids_on_the_gpu_however_kernels_are_cut() {
    let Some(gpu) = conformance::gpu() else { return };
    let folder = golden_folder(NAMES[0]);
    let golden = Golden::read(&folder);
    for turn in 0..Tuning::variants().len() {
        let gpu = cut_in_turn(&gpu, turn);
        println!("{:?}", gpu.tuning());
        check(&gpu, &golden, &folder, 1e-3);
    }
}

/// Quantised on the way in: 8 bits stay close, 4 bits stay correlated. Weights of random models are Gaussian, the hardest case.
#[test]
fn quantised_logits_stay_near() {
    for name in NAMES {
        let golden = Golden::read(&golden_folder(name));
        for (quantize, bound) in [(Quantize::Q8, 0.05), (Quantize::Q4, 0.6)] {
            let engine = Loading::default().quantized(quantize).load(&golden_folder(name));
            let logits = block_on(engine.logits(&golden.sequence())).unwrap();
            let relative = relative_error(&logits, &golden.logits);
            println!("{name}, {quantize:?}: relative RMS error {relative:.4}");
            assert!(relative < bound, "{name}, {quantize:?}: relative RMS error {relative:.4}, at most {bound}");
        }
    }
}

/// A GGUF model in two parts in which every tensor has another format (tests/reference/make_gguf_mix_golden.py). Six of the formats are
/// held exactly; the others are rounded again to 8 bits.
#[test]
fn a_split_file_of_every_format_loads() {
    let folder = golden_folder("llama-gguf-mix");
    let golden = Golden::read(&folder);
    let files = || {
        let parts = DirectoryFiles::open(&folder).unwrap();
        block_on(ModelFiles::open_gguf(&parts, "model-00001-of-00002.gguf")).unwrap()
    };
    for (quantize, bound) in [(Quantize::None, 0.03), (Quantize::Auto, 0.03), (Quantize::Q8, 0.03), (Quantize::Q4, 0.6)] {
        let engine = Loading::default().quantized(quantize).try_load(files()).unwrap();
        let logits = block_on(engine.logits(&golden.sequence())).unwrap();
        let relative = relative_error(&logits, &golden.logits);
        println!("{quantize:?}: relative RMS error {relative:.4}, {} bytes", engine.info().memory_bytes);
        assert!(relative < bound, "{quantize:?}: relative RMS error {relative:.4}, at most {bound}");
    }
}

/// The root of the mean square of the error, relative to that of what is expected.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let error: f64 = found.iter().zip(expected).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let signal: f64 = expected.iter().map(|b| f64::from(*b).powi(2)).sum();
    (error / signal).sqrt()
}

/// 8-bit floats with scales (tests/reference/make_fp8_goldens.py): those a row are powers of two, with which 16-bit brain floats hold every
/// product; those a block are rounded.
#[test]
fn declared_8_bit_floats_load() {
    for (name, quantize, bound) in [
        ("llama-fp8-row", Quantize::None, 1e-5),
        ("llama-fp8-row", Quantize::Q8, 0.05),
        ("llama-fp8-block", Quantize::None, 0.01),
        ("llama-fp8-block", Quantize::Auto, 0.01),
        ("llama-fp8-block", Quantize::Q8, 0.05),
    ] {
        let golden = Golden::read(&golden_folder(name));
        let engine = Loading::default().quantized(quantize).load(&golden_folder(name));
        let relative = relative_error(&block_on(engine.logits(&golden.sequence())).unwrap(), &golden.logits);
        println!("{name}, {quantize:?}: relative RMS error {relative:.1e}, {} bytes", engine.info().memory_bytes);
        assert!(relative < bound, "{name}, {quantize:?}: relative RMS error {relative:.1e}, at most {bound}");
    }
}

/// What the configuration says about 8-bit floats, taken away or contradicted.
#[test]
fn undeclared_8_bit_floats_are_refused() {
    let folder = golden_folder("llama-fp8-block");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let load = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut config: serde_json::Value = serde_json::from_slice(&read("config.json")).unwrap();
        change(&mut config);
        let files = vec![
            ("config.json".to_owned(), config.to_string().into_bytes()),
            ("tokenizer.json".to_owned(), read("tokenizer.json")),
            ("model.safetensors".to_owned(), read("model.safetensors")),
        ];
        Loading::default().try_load(ModelFiles::Folder(MemoryFiles::new(files).into())).err().unwrap()
    };
    let undeclared = load(&|config| config["quantization_config"] = serde_json::Value::Null);
    assert!(undeclared.code() == "unsupported-model" && undeclared.detail().contains("8-bit floats"), "{undeclared}");
    let other = load(&|config| config["quantization_config"]["quant_method"] = "gptq".into());
    assert!(other.code() == "unsupported-model" && other.detail().contains("gptq"), "{other}");
    let contradicted = load(&|config| config["quantization_config"]["weight_block_size"] = serde_json::json!([128, 128]));
    assert!(contradicted.code() == "bad-model" && contradicted.detail().contains("128 x 128"), "{contradicted}");
}
