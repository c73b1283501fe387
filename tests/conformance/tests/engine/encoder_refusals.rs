//! What an encoder's load refuses, and with which code.

use std::rc::Rc;

use conformance::{Loading, folder_files, golden_folder};
use eyas_core::{Error, LoadOptions};
use eyas_weights::{MemoryFiles, MemoryReader, ModelFiles};
use pollster::block_on;
use serde_json::{Value, json};

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// A golden's files with its configuration changed.
fn with_config(name: &str, change: impl FnOnce(&mut Value)) -> ModelFiles {
    let mut files: Vec<(String, Vec<u8>)> =
        FILES.iter().map(|file| ((*file).to_owned(), std::fs::read(golden_folder(name).join(file)).unwrap())).collect();
    let mut config: Value = serde_json::from_slice(&files[0].1).unwrap();
    change(&mut config);
    files[0].1 = config.to_string().into_bytes();
    ModelFiles::Folder(Rc::new(MemoryFiles::new(files)))
}

fn refusal(files: ModelFiles) -> Error {
    Loading::default().try_load_encoder(files).err().expect("a refusal")
}

#[test]
fn a_decoder_is_no_encoder_and_an_encoder_no_decoder() {
    let error = refusal(folder_files(&golden_folder("llama-gqa-llama3")));
    assert!(error.code() == "unsupported-model" && error.detail().contains("decoder"), "{error}");
    let error = refusal(folder_files(&golden_folder("llama-gqa-llama3/model.gguf")));
    assert_eq!(error.code(), "unsupported-model");
    let error = Loading::default().try_load(folder_files(&golden_folder("encoder-bert-mean"))).err().unwrap();
    assert!(error.code() == "unsupported-model" && error.detail().contains("encoder"), "{error}");
}

#[test]
fn a_configuration_that_contradicts_the_tensors_is_named() {
    let cases: [(&str, Value, &str, &str); 7] = [
        ("num_hidden_layers", json!(3), "bad-model", "Qkv(2)"),
        ("num_hidden_layers", json!(1), "bad-model", "encoder.layer.1"),
        ("intermediate_size", json!(49), "bad-model", "intermediate.dense"),
        ("max_position_embeddings", json!(43), "bad-model", "position_embeddings"),
        ("type_vocab_size", json!(1), "bad-model", "token_type_embeddings"),
        ("vocab_size", json!(80), "bad-model", "tokenizer"),
        ("architectures", json!(["BertForSequenceClassification"]), "bad-model", "HeadOut"),
    ];
    for (key, value, code, word) in cases {
        let error = refusal(with_config("encoder-bert-mean", |config| config[key] = value.clone()));
        assert!(error.code() == code && error.detail().contains(word), "{key} {value}: {error}");
    }
}

/// A golden's GGUF file with some bytes replaced by as many.
fn patched_gguf(find: &[u8], replace: &[u8]) -> ModelFiles {
    patched_gguf_of("encoder-bert-mean", find, replace)
}

fn patched_gguf_of(name: &str, find: &[u8], replace: &[u8]) -> ModelFiles {
    let mut bytes = std::fs::read(golden_folder(name).join("model.gguf")).unwrap();
    let at = bytes.windows(find.len()).position(|window| window == find).expect("the bytes are there");
    bytes[at..at + find.len()].copy_from_slice(replace);
    ModelFiles::Gguf(Rc::new(MemoryReader::new("model.gguf", bytes)))
}

#[test]
fn what_a_gguf_file_of_an_encoder_has_beyond_bert_is_refused() {
    let decoder = Loading::default().try_load(folder_files(&golden_folder("encoder-bert-mean/model.gguf"))).err().unwrap();
    assert!(decoder.code() == "unsupported-model" && decoder.detail().contains("is an encoder"), "{decoder}");
    let pooling = |value: u8| [b"bert.pooling_type".as_slice(), &[4, 0, 0, 0, value, 0, 0, 0][..]].concat();
    let cases = [
        (patched_gguf(&pooling(1), &pooling(4)), "unsupported-model", "pooling_type 4"),
        (patched_gguf(b"bert.pooling_type", b"bert.pooling_tape"), "unsupported-model", "pooling_tape"),
        (patched_gguf(b"blk.1.attn_q.bias", b"blk.1.attn_r.bias"), "unsupported-model", "attn_r"),
        (patched_gguf(b"blk.1.attn_q.bias", b"blk.7.attn_q.bias"), "bad-model", "Qkv(1)"),
        (
            patched_gguf(b"bert.attention.causal\x07\0\0\0\0", b"bert.attention.causal\x07\0\0\0\x01"),
            "unsupported-model",
            "causal",
        ),
        (patched_gguf(b"\x04\0\0\0\0\0\0\0bert\x0c", b"\x04\0\0\0\0\0\0\0nope\x0c"), "unsupported-model", "nope"),
    ];
    for (files, code, word) in cases {
        let error = refusal(files);
        assert!(error.code() == code && error.detail().contains(word), "{word}: {error}");
    }
}

#[test]
fn half_a_head_and_what_a_vocabulary_can_not_be_are_refused() {
    let number = |key: &str, value: u8| [key.as_bytes(), &[4, 0, 0, 0, value, 0, 0, 0][..]].concat();
    let (pieces, modern) = ("encoder-xlm-roberta-pieces", "encoder-modernbert-scores");
    let classifier_pooling = "modern-bert.classifier.pooling_type";
    let cases = [
        (folder_files(&golden_folder("encoder-bert-labels/model.gguf")), "unsupported-model", "pooler"),
        (patched_gguf_of(pieces, b"cls.output.weight", b"cls.outpux.weight"), "unsupported-model", "half a classification head"),
        (patched_gguf_of(pieces, b"cls.output.bias", b"clz.output.bias"), "unsupported-model", "clz.output"),
        (patched_gguf_of(pieces, b"cls.weight", b"cls.weighs"), "unsupported-model", "half a classification head"),
        (
            patched_gguf_of(pieces, b"add_space_prefix\x07\0\0\0\x01", b"add_space_prefix\x07\0\0\0\0"),
            "unsupported-model",
            "space",
        ),
        (patched_gguf_of(pieces, b"ggml.scores", b"ggml.scorex"), "bad-model", "scores"),
        (patched_gguf_of(modern, b"sliding_window_pattern", b"sliding_window_pattorn"), "unsupported-model", "pattorn"),
        (
            patched_gguf_of(modern, &number(classifier_pooling, 1), &number(classifier_pooling, 3)),
            "unsupported-model",
            "classifier.pooling_type 3",
        ),
        (patched_gguf_of(modern, b"\0silu", b"\0mish"), "unsupported-model", "mish"),
        (patched_gguf_of(modern, b"\x04\0\0\0\0\0\0\0none", b"\x04\0\0\0\0\0\0\0yarn"), "unsupported-model", "yarn"),
        (
            patched_gguf_of(modern, b"modern-bert.block_count\x04\0\0\0\x04", b"modern-bert.block_count\x04\0\0\0\x05"),
            "bad-model",
            "(4)",
        ),
        (
            patched_gguf_of(modern, b"ggml.pre\x08\0\0\0\x0b\0\0\0\0\0\0\0modern", b"ggml.pre\x08\0\0\0\x0b\0\0\0\0\0\0\0modorn"),
            "unsupported-model",
            "modorn-bert",
        ),
    ];
    for (files, code, word) in cases {
        let error = refusal(files);
        assert!(error.code() == code && error.detail().contains(word), "{word}: {error}");
    }
}

#[test]
fn biases_and_layers_of_modern_bert_are_those_of_the_configuration() {
    let cases: [(&str, Value, &str, &str); 6] = [
        ("mlp_bias", json!(true), "bad-model", "Up(0)"),
        ("norm_bias", json!(true), "bad-model", "NormBias"),
        ("num_hidden_layers", json!(3), "bad-model", "layers.3"),
        ("intermediate_size", json!(25), "bad-model", "mlp.Wi"),
        ("architectures", json!(["ModernBertForSequenceClassification"]), "bad-model", "HeadDense"),
        ("architectures", json!(["ModernBertForTokenClassification"]), "unsupported-model", "ModernBertForTokenClassification"),
    ];
    for (key, value, code, word) in cases {
        let error = refusal(with_config("encoder-modernbert-mean", |config| {
            config[key] = value.clone();
            if key == "num_hidden_layers" {
                config["layer_types"] = Value::Null;
            }
        }));
        assert!(error.code() == code && error.detail().contains(word), "{key} {value}: {error}");
    }
    let biased = refusal(with_config("encoder-modernbert-labels", |config| config["attention_bias"] = json!(false)));
    assert!(biased.code() == "bad-model" && biased.detail().contains("attn.W"), "{biased}");
}

/// A golden's files, those of its projections included, without `left_out` and with one replaced.
fn with_file(name: &str, left_out: &str, replaced: (&str, &Value)) -> ModelFiles {
    let folder = golden_folder(name);
    let more = ["modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"];
    let dense = ["2_Dense/config.json", "2_Dense/model.safetensors", "3_Dense/config.json", "3_Dense/model.safetensors"];
    let names = FILES.iter().chain(&more).chain(&dense).filter(|file| **file != left_out);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for file in names {
        if *file == replaced.0 {
            files.push(((*file).to_owned(), replaced.1.to_string().into_bytes()));
        } else if let Ok(bytes) = std::fs::read(folder.join(file)) {
            files.push(((*file).to_owned(), bytes));
        }
    }
    ModelFiles::Folder(Rc::new(MemoryFiles::new(files)))
}

#[test]
fn projections_that_are_missing_or_contradict_their_tensors_are_named() {
    let dense = |out: usize, bias: bool| json!({"in_features": 36, "out_features": out, "bias": bias});
    let cases = [
        (
            with_file("encoder-gemma3-projected", "2_Dense/model.safetensors", ("", &Value::Null)),
            "model-not-found",
            "2_Dense/model",
        ),
        (with_file("encoder-gemma3-projected", "3_Dense/config.json", ("", &Value::Null)), "model-not-found", "3_Dense/config"),
        (
            with_file("encoder-gemma3-projected", "", ("2_Dense/config.json", &dense(49, false))),
            "bad-model",
            "3_Dense/config.json",
        ),
        (with_file("encoder-gemma3-projected", "", ("2_Dense/config.json", &dense(50, true))), "bad-model", "linear.bias"),
        (with_file("encoder-gemma3-listed", "", ("2_Dense/config.json", &dense(19, false))), "bad-model", "linear.bias"),
        (with_file("encoder-gemma3-listed", "", ("2_Dense/config.json", &dense(20, true))), "bad-model", "linear.weight"),
    ];
    for (files, code, word) in cases {
        let error = refusal(files);
        assert!(error.code() == code && error.detail().contains(word), "{word}: {error}");
    }
    let engine = Loading::default().load_encoder(&golden_folder("encoder-gemma3-projected"));
    assert_eq!(engine.info().prompts, ["document", "query"]);
    let error = block_on(engine.embed_prompted("a", Some("title"))).unwrap_err();
    assert!(error.code() == "bad-input" && error.detail().contains("document"), "{error}");
}

#[test]
fn a_bidirectional_gemma_is_no_decoder_and_a_causal_one_no_encoder() {
    let error = Loading::default().try_load(folder_files(&golden_folder("encoder-gemma3-listed"))).err().unwrap();
    assert!(error.code() == "unsupported-model" && error.detail().contains("encoder"), "{error}");
    let error = refusal(folder_files(&golden_folder("family-gemma3-listed")));
    assert!(error.code() == "unsupported-model" && error.detail().contains("decoder"), "{error}");
    let headed =
        with_config("encoder-gemma3-listed", |config| config["architectures"] = json!(["Gemma3TextForSequenceClassification"]));
    assert_eq!(refusal(headed).code(), "unsupported-model");
    let error = refusal(with_config("encoder-gemma3-listed", |config| config["intermediate_size"] = json!(49)));
    assert!(error.code() == "bad-model" && error.detail().contains("mlp"), "{error}");
}

#[test]
fn pairs_need_a_form_and_types_that_the_model_has() {
    let mut tokenizer: Value =
        serde_json::from_slice(&std::fs::read(golden_folder("encoder-bert-labels/tokenizer.json")).unwrap()).unwrap();
    let load = |tokenizer: &Value| {
        let files = with_file("encoder-bert-labels", "", ("tokenizer.json", tokenizer));
        Loading::default().try_load_encoder(files).unwrap()
    };
    for piece in tokenizer["post_processor"]["pair"].as_array_mut().unwrap() {
        let kind = if piece["SpecialToken"].is_object() { "SpecialToken" } else { "Sequence" };
        if piece[kind]["type_id"] == 1 {
            piece[kind]["type_id"] = json!(2);
        }
    }
    let error = block_on(load(&tokenizer).classify_pair("a", "the card")).unwrap_err();
    assert!(error.code() == "bad-model" && error.detail().contains("type 2"), "{error}");
    tokenizer["post_processor"]["pair"] = json!([]);
    let engine = load(&tokenizer);
    let error = block_on(engine.classify_pair("a", "the card")).unwrap_err();
    assert!(error.code() == "unsupported-model" && error.detail().contains("pair"), "{error}");
    assert_eq!(block_on(engine.classify("a")).unwrap().len(), 3);
    let headless = Loading::default().load_encoder(&golden_folder("encoder-bert-mean"));
    assert_eq!(block_on(headless.classify_pair("a", "b")).unwrap_err().code(), "unsupported-model");
}

#[test]
fn another_task_and_a_tensor_without_a_place_are_refused() {
    let token_classifier =
        with_config("encoder-bert-labels", |config| config["architectures"] = json!(["BertForTokenClassification"]));
    assert_eq!(refusal(token_classifier).code(), "unsupported-model");
    let headless = refusal(with_config("encoder-bert-labels", |config| config["architectures"] = json!(["BertModel"])));
    assert!(headless.code() == "bad-model" && headless.detail().contains("classifier"), "{headless}");
    let strange = refusal(with_config("encoder-distilbert-labels", |config| {
        *config = json!({"model_type": "bert", "hidden_size": 30, "intermediate_size": 45, "num_hidden_layers": 3, "num_attention_heads": 3, "vocab_size": 85});
    }));
    assert!(strange.code() == "unsupported-model" && strange.detail().contains("has no place"), "{strange}");
}

#[test]
fn a_context_beyond_the_positions_is_refused() {
    let options = LoadOptions { context_tokens: Some(45), ..LoadOptions::default() };
    let loading = Loading { options, ..Loading::default() };
    let error = loading.try_load_encoder(folder_files(&golden_folder("encoder-bert-mean"))).err().unwrap();
    assert_eq!(error.code(), "bad-input");
}

#[test]
fn ids_that_can_not_be_are_refused_before_anything_is_computed() {
    let engine = Loading::default().load_encoder(&golden_folder("encoder-bert-mean"));
    assert_eq!(block_on(engine.states(&[])).unwrap_err().code(), "bad-input");
    assert_eq!(block_on(engine.states(&[85])).unwrap_err().code(), "bad-input");
    assert_eq!(block_on(engine.states(&[1; 15])).unwrap_err().code(), "context-overflow");
    let options = LoadOptions { context_tokens: Some(1), ..Loading::default().options };
    let tiny = Loading { options, ..Loading::default() }.load_encoder(&golden_folder("encoder-bert-mean"));
    assert_eq!(block_on(tiny.embed("a")).unwrap_err().code(), "bad-input");
}
