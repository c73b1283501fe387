//! Every refusal, one by one, of a model in a folder and of the same in a GGUF file: its code, what it names, and that no weight was read for it.

use std::{cell::Cell, rc::Rc};

use conformance::{GgufEdit, Loading, answer, cpu, golden_folder, greedy};
use eyas_core::{CancelToken, Error, LoadPhase, Message, Progress};
use eyas_engine::{Engine, Prompt};
use eyas_weights::{MemoryFiles, MemoryReader, ModelFiles};
use pollster::block_on;
use serde_json::{Value, json};

const FOLDER: &str = "llama-gqa-llama3";

/// The golden's files with a change to its configuration, and to the header of its weights.
fn folder(change: impl FnOnce(&mut Value), tensors: impl FnOnce(&mut Value)) -> ModelFiles {
    let read = |file: &str| std::fs::read(golden_folder(FOLDER).join(file)).unwrap();
    let mut config: Value = serde_json::from_slice(&read("config.json")).unwrap();
    change(&mut config);
    let weights = read("model.safetensors");
    let (length, rest) = weights.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    tensors(&mut header);
    let header = header.to_string();
    let weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let files = [
        ("config.json", config.to_string().into_bytes()),
        ("model.safetensors", weights),
        ("tokenizer.json", read("tokenizer.json")),
    ];
    ModelFiles::Folder(Rc::new(MemoryFiles::new(files.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec())))
}

fn config(key: &str, value: Value) -> ModelFiles {
    folder(|config| config[key] = value, |_| {})
}

/// The golden's GGUF file with a change.
fn gguf(change: impl FnOnce(GgufEdit) -> GgufEdit) -> ModelFiles {
    let file = std::fs::read(golden_folder(FOLDER).join("model.gguf")).unwrap();
    ModelFiles::Gguf(Rc::new(MemoryReader::new("model.gguf", change(GgufEdit::open(&file)).build())))
}

/// What a load fails with, and whether it had read weights by then.
fn refusal(files: ModelFiles) -> (Error, bool) {
    let has_read = Cell::new(false);
    let progress =
        |report: Progress| has_read.set(has_read.get() || (report.phase == LoadPhase::Weights && report.loaded_bytes > 0));
    let (cancel, clock) = (CancelToken::new(), Rc::new(|| 0.0));
    let load = Engine::load(files, cpu(), Loading::default().options, clock, &progress, &cancel);
    (block_on(load).err().expect("a refusal"), has_read.get())
}

#[test]
fn each_is_named_in_both_formats_before_a_weight_is_read() {
    let all = "model.layers.0.self_attn.q_proj.weight";
    let second = |header: &mut Value| {
        let tensor = header.as_object_mut().unwrap().remove("model.layers.0.self_attn.k_proj.weight").unwrap();
        header["layers.0.self_attn.q_proj.weight"] = tensor;
    };
    let cases: [(&str, ModelFiles, &str, &str); 26] = [
        ("architecture", config("model_type", json!("falcon_h1")), "unsupported-model", "falcon_h1"),
        ("architecture", gguf(|file| file.text("general.architecture", "falcon-h1")), "unsupported-model", "falcon-h1"),
        ("mixture of experts", config("num_local_experts", json!(8)), "unsupported-model", "experts"),
        ("mixture of experts", gguf(|file| file.number("llama.expert_count", 8)), "unsupported-model", "experts"),
        (
            "experts' tensors",
            gguf(|file| file.renamed("blk.0.ffn_gate.weight", "blk.0.ffn_gate_exps.weight")),
            "unsupported-model",
            "ffn_gate_exps",
        ),
        ("vision tower", config("vision_config", json!({"hidden_size": 8})), "unsupported-model", "vision"),
        ("vision tower", gguf(|file| file.text("general.architecture", "clip")), "unsupported-model", "clip"),
        (
            "vision tower's tensors",
            gguf(|file| file.renamed("blk.0.ffn_up.weight", "v.blk.0.ffn_up.weight")),
            "unsupported-model",
            "v.blk.0",
        ),
        ("quantisation", config("quantization_config", json!({"quant_method": "gptq"})), "unsupported-model", "gptq"),
        ("quantisation", folder(|_| {}, |header| header[all]["dtype"] = json!("F4")), "unsupported-model", "F4"),
        ("quantisation", gguf(|file| file.tensor_type("blk.0.ffn_up.weight", 16)), "unsupported-model", "IQ2_XXS"),
        ("quantisation", gguf(|file| file.tensor_type("blk.0.ffn_up.weight", 99)), "unsupported-model", "unknown type 99"),
        ("head size", config("head_dim", json!(11)), "unsupported-model", "head_dim"),
        ("head size", config("head_dim", json!(512)), "unsupported-model", "head_dim"),
        (
            "head size",
            gguf(|file| {
                let file = file.number("llama.attention.key_length", 11).number("llama.attention.value_length", 11);
                file.without("llama.rope.dimension_count")
            }),
            "unsupported-model",
            "head_dim",
        ),
        ("head size", gguf(|file| file.number("llama.attention.value_length", 12)), "unsupported-model", "10 and 12"),
        ("contradiction", config("intermediate_size", json!(90)), "bad-model", "mlp"),
        ("contradiction", gguf(|file| file.number("llama.feed_forward_length", 90)), "bad-model", "ffn"),
        ("contradiction", config("num_hidden_layers", json!(4)), "bad-model", "3"),
        ("contradiction", gguf(|file| file.number("llama.block_count", 4)), "bad-model", "3"),
        ("contradiction", config("num_hidden_layers", json!(2)), "bad-model", "model.layers.2"),
        ("contradiction", gguf(|file| file.number("llama.block_count", 2)), "bad-model", "blk.2"),
        ("two tensors for one place", folder(|_| {}, second), "bad-model", "same place"),
        (
            "two tensors for one place",
            gguf(|file| file.renamed("blk.0.attn_k.weight", "blk.0.attn_qkv.weight")),
            "bad-model",
            "same place",
        ),
        ("a key that is not known", config("ssm_state_size", json!(16)), "unsupported-model", "ssm_state_size"),
        ("a key that is not known", gguf(|file| file.number("llama.ssm.state_size", 16)), "unsupported-model", "ssm.state_size"),
    ];
    for (what, files, code, word) in cases {
        let (error, has_read) = refusal(files);
        assert!(error.code() == code && error.detail().contains(word), "{what}: expected {code} naming {word:?}, found {error}");
        assert!(!has_read, "{what}: weights were read before {error}");
    }
}

#[test]
fn a_missing_template_is_told_when_a_conversation_is_sent() {
    let json = folder(|_| {}, |_| {});
    let gguf = gguf(|file| file.without("tokenizer.chat_template"));
    for files in [json, gguf] {
        let engine = Loading::default().try_load(files).unwrap();
        assert!(!engine.info().has_chat_template);
        let prompt = Prompt::Messages(vec![Message::user("w9")]);
        let error = engine.session().start(&eyas_engine::Request::new(prompt, greedy(1))).err().unwrap();
        assert!(error.code() == "bad-input" && error.detail().contains("chat template"), "{error}");
        // A text to continue needs none.
        assert_eq!(answer(&engine, Prompt::Text("w9".into()), greedy(1)).token_ids.len(), 1);
    }
}
