//! Configurations and GGUF metadata damaged at random, the same way in every run: each is refused with a code, or plans a load without a panic and without
//! taking the memory that it speaks of.

#[path = "../../../fuzz/damage.rs"]
mod damage;

use std::rc::Rc;

use conformance::golden_folder;
use damage::{Random, damage, peak, runs, within};
use eyas_core::{DeviceKind, LoadOptions, Quantize};
use eyas_engine::ModelHeaders;
use eyas_model::{DecoderConfig, EncoderConfig};
use eyas_weights::{FileSet, MemoryFiles, MemoryReader, ModelFiles};
use pollster::block_on;
use serde_json::{Value, json};

const FILES: [&str; 9] = [
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "3_Dense/config.json",
    "3_Dense/model.safetensors",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
];

/// Values that a hostile file may have anywhere.
fn hostile(random: &mut Random) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(3),
        json!(-1),
        json!(0.5),
        json!(1e308),
        json!(u64::MAX),
        json!(1_u64 << 20),
        json!(1_u64 << 33),
        json!(4096),
        json!(""),
        json!("mean"),
        json!("full_attention"),
        json!([]),
        json!([1, 2, 3]),
        json!(["sliding_attention"]),
        json!({}),
        json!({"rope_type": "yarn", "factor": 1e300, "original_max_position_embeddings": 0}),
        json!({"rope_type": "longrope", "short_factor": [], "long_factor": [1e-300]}),
        json!({"full_attention": {"rope_theta": 1e-300}, "sliding_attention": null}),
    ];
    values[random.below(values.len())].clone()
}

/// Changes a value of an object, or of an object in it.
fn change(object: &mut Value, random: &mut Random) {
    let Some(map) = object.as_object_mut() else {
        *object = hostile(random);
        return;
    };
    let at = random.below(map.len());
    match map.values_mut().nth(at) {
        Some(inner) if inner.is_object() && random.below(3) > 0 => change(inner, random),
        Some(value) => *value = hostile(random),
        None => {}
    }
}

/// Reads headers and plans a load in every quantisation; answers whether there is a plan.
fn plan(files: &ModelFiles, what: &str) -> bool {
    let (headers, peak_bytes) = peak(|| block_on(ModelHeaders::open(files)));
    assert!(peak_bytes <= 16 << 20, "{what}: headers took {peak_bytes} bytes");
    let refused = |error: eyas_core::Error| {
        let codes = ["bad-model", "unsupported-model", "bad-input", "model-not-found"];
        assert!(codes.contains(&error.code()), "{what}: {error}");
    };
    match headers {
        Err(error) => {
            refused(error);
            false
        }
        Ok(headers) => [Quantize::Auto, Quantize::None, Quantize::Q4].into_iter().all(|quantize| {
            let options = LoadOptions { quantize, ..LoadOptions::default() };
            let (need, peak_bytes) = peak(|| headers.need(&options, DeviceKind::Cpu));
            assert!(peak_bytes <= 16 << 20, "{what}: a plan took {peak_bytes} bytes");
            need.map_err(refused).is_ok()
        }),
    }
}

const FOLDERS: [&str; 10] = [
    "llama-yarn",
    "family-gemma3-sixth",
    "family-phi3-long",
    "family-qwen2-window",
    "family-smollm3-listed",
    "family-granite-bias",
    "encoder-bert-labels",
    "encoder-distilbert-labels",
    "encoder-modernbert-labels",
    "encoder-gemma3-projected",
];

#[test]
fn damaged_configurations() {
    let folders: Vec<_> = FOLDERS.iter().map(|name| golden_folder(name)).collect();
    let planned = within(300_000, move || {
        let mut random = Random(21);
        let mut planned = 0;
        for folder in folders {
            let read = |name: &str| std::fs::read(folder.join(name)).ok();
            let config: Value = serde_json::from_slice(&read("config.json").unwrap()).unwrap();
            let others: Vec<_> =
                FILES.iter().chain(&["model.safetensors"]).filter_map(|name| Some(((*name).to_owned(), read(name)?))).collect();
            for run in 0..runs(250) {
                let what = format!("{}, run {run}", folder.display());
                let mut files = others.clone();
                // Mostly the configuration itself, else one of the files beside it.
                let at = if random.below(3) > 0 { 0 } else { random.below(files.len() - 1) };
                if run % 5 == 0 || files[at].0.ends_with(".safetensors") {
                    files[at].1 = damage(&files[at].1, &mut random);
                } else {
                    let mut changed: Value = serde_json::from_slice(&files[at].1).unwrap();
                    for _ in 0..=random.below(2) {
                        change(&mut changed, &mut random);
                    }
                    files[at].1 = changed.to_string().into_bytes();
                }
                let set: Rc<dyn FileSet> = Rc::new(MemoryFiles::new(files));
                planned += usize::from(plan(&ModelFiles::Folder(set), &what));
                let mut alone = config.clone();
                for _ in 0..=random.below(3) {
                    change(&mut alone, &mut random);
                }
                if let Ok(decoder) = DecoderConfig::from_hf(&alone) {
                    decoder.cache_bytes(4096, 256);
                }
                if let Ok(encoder) = EncoderConfig::from_hf(&alone) {
                    encoder.scratch_bytes(encoder.max_tokens());
                    encoder.attention_spec(0, encoder.max_tokens());
                }
            }
        }
        planned
    });
    assert!(planned > 300, "only {planned} were planned: the damage is too great to reach what is behind");
}

#[test]
fn damaged_gguf_files() {
    let paths = ["encoder-bert-mean", "family-phi3-long", "family-gemma3-sixth", "llama-gqa-llama3"];
    let good: Vec<_> = paths.iter().map(|name| std::fs::read(golden_folder(name).join("model.gguf")).unwrap()).collect();
    let planned = within(300_000, move || {
        let mut random = Random(22);
        let mut planned = 0;
        for (name, good) in paths.iter().zip(&good) {
            // The header is at the beginning, and small beside the weights.
            let header = good.len().min(6_000);
            for run in 0..runs(600) {
                let mut bytes = damage(&good[..header], &mut random);
                bytes.extend_from_slice(&good[header..]);
                let files = ModelFiles::Gguf(Rc::new(MemoryReader::new("model.gguf", bytes)));
                planned += usize::from(plan(&files, &format!("{name}, run {run}")));
                let _ = block_on(eyas_engine::open_tokenizer(&files));
            }
        }
        planned
    });
    assert!(planned > 100, "only {planned} were planned");
}
