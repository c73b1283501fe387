//! What a family's model must not be loaded for: features that are missing, and configurations that contradict their tensors.

use std::rc::Rc;

use conformance::{Loading, golden_folder};
use eyas_core::Error;
use eyas_weights::{MemoryFiles, ModelFiles};
use serde_json::{Value, json};

/// Loads a golden's folder with one key of its configuration changed.
fn load_with(name: &str, key: &str, value: &Value) -> Result<(), Error> {
    let files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let folder = golden_folder(name);
    let read = |file: &str| (file.to_owned(), std::fs::read(folder.join(file)).unwrap());
    let mut files: Vec<(String, Vec<u8>)> = files.into_iter().map(read).collect();
    let mut config: Value = serde_json::from_slice(&files[0].1).unwrap();
    config[key] = value.clone();
    files[0].1 = serde_json::to_vec(&config).unwrap();
    Loading::default().try_load(ModelFiles::Folder(Rc::new(MemoryFiles::new(files)))).map(|_| ())
}

#[test]
fn features_that_are_missing_are_named() {
    let cases = [
        ("family-mistral-window", "model_type", json!("mixtral"), "mixtral"),
        ("family-mistral-window", "num_local_experts", json!(8), "experts"),
        ("family-mistral-window", "head_dim", json!(512), "head_dim"),
        ("family-qwen2-padded", "num_experts", json!(4), "experts"),
        ("family-qwen2-padded", "rope_parameters", json!({"rope_type": "default", "mrope_section": [2, 2, 2]}), "mrope_section"),
        ("family-qwen3-tied", "quantization_config", json!({"quant_method": "awq", "bits": 4}), "awq"),
        ("family-qwen3-tied", "partial_rotary_factor", json!(0.5), "partial_rotary_factor"),
        ("family-gemma3-sixth", "vision_config", json!({"hidden_size": 8}), "vision"),
        ("family-gemma3-sixth", "use_bidirectional_attention", json!(true), "is an encoder"),
        ("family-gemma2-capped", "hidden_activation", json!("gelu"), "gelu"),
        (
            "family-gemma2-capped",
            "layer_types",
            json!(["chunked_attention", "full_attention", "full_attention"]),
            "chunked_attention",
        ),
        ("family-smollm3-fourth", "logits_scaling", json!(2.0), "logits_scaling"),
        ("family-phi3-plain", "rope_parameters", json!({"rope_type": "proportional"}), "proportional"),
        ("family-olmo2-grouped", "clip_qkv", json!(8.0), "clip_qkv"),
        ("family-granite-tied", "position_embedding_type", json!("nope"), "position_embedding_type"),
    ];
    for (name, key, value, word) in cases {
        let error = load_with(name, key, &value).err().unwrap_or_else(|| panic!("{name} was loaded with {key} = {value}"));
        assert_eq!(error.code(), "unsupported-model", "{name}, {key}: {error}");
        assert!(error.detail().contains(word), "{name}, {key}: {error} does not say {word:?}");
    }
}

#[test]
fn configurations_that_contradict_the_tensors_are_refused() {
    let cases = [
        ("family-qwen2-padded", "model_type", json!("llama")),
        ("family-qwen3-tied", "model_type", json!("qwen2")),
        ("family-qwen3-tied", "model_type", json!("mistral")),
        ("family-qwen3-tied", "attention_bias", json!(true)),
        ("family-olmo2-grouped", "num_key_value_heads", json!(6)),
        ("family-gemma2-capped", "intermediate_size", json!(44)),
        ("family-gemma3-sixth", "num_hidden_layers", json!(6)),
        ("family-phi3-plain", "num_key_value_heads", json!(3)),
        ("family-smollm3-listed", "no_rope_layers", json!([1])),
        ("family-gemma3-listed", "layer_types", json!(["full_attention"])),
        ("family-phi3-long", "rope_parameters", json!({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]})),
        ("family-mistral-window", "sliding_window", json!(0)),
        ("family-granite-tied", "residual_multiplier", json!(0.0)),
        ("family-granite-tied", "attention_multiplier", json!("high")),
    ];
    for (name, key, value) in cases {
        let error = load_with(name, key, &value).err().unwrap_or_else(|| panic!("{name} was loaded with {key} = {value}"));
        assert!(matches!(error.code(), "bad-model" | "unsupported-model"), "{name}, {key}: {error}");
    }
}
