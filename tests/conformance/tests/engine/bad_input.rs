//! Bad models and bad requests: each has its code, says what is wrong, and leaves the next load unharmed.

use std::{collections::BTreeMap, rc::Rc};

use conformance::{Loading, answer, golden_folder, greedy};
use eyas_core::{Error, GenerateOptions, Message};
use eyas_engine::{Engine, Prompt, Request};
use eyas_weights::{Checkpoint, MemoryFiles, MemoryReader, ModelFiles, RangeReader, SourceKind};

const MODEL: &str = "llama-mqa-f16";

type Files = BTreeMap<String, Vec<u8>>;

fn files() -> Files {
    let names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    names.iter().map(|name| ((*name).to_owned(), std::fs::read(golden_folder(MODEL).join(name)).unwrap())).collect()
}

fn load(files: Files) -> Result<Engine, Error> {
    Loading::default().try_load(ModelFiles::Folder(Rc::new(MemoryFiles::new(files.into_iter().collect()))))
}

/// Loads the model with one thing changed; the error must have this code and all these words.
fn refused(change: impl FnOnce(&mut Files), code: &str, words: &[&str]) {
    let mut changed = files();
    change(&mut changed);
    let error = load(changed).err().unwrap_or_else(|| panic!("a bad model was loaded; expected {code} with {words:?}"));
    assert_eq!(error.code(), code, "{error}");
    for word in words {
        assert!(error.detail().contains(word), "{error} does not say {word:?}");
    }
    // The next load works.
    assert_eq!(answer(&load(files()).unwrap(), Prompt::Ids(vec![1, 9]), greedy(1)).token_ids.len(), 1);
}

fn replace(files: &mut Files, name: &str, from: &str, to: &str) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    files.insert(name.into(), text.replace(from, to).into_bytes());
}

#[test]
fn a_missing_file_is_named() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        refused(|files| drop(files.remove(name)), "model-not-found", &[name]);
    }
    let mut without_optional = files();
    without_optional.remove("generation_config.json");
    without_optional.remove("tokenizer_config.json");
    assert!(load(without_optional).is_ok());
}

#[test]
fn a_block_whose_scale_is_not_finite_is_named_by_its_row() {
    let parts = ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"]
        .map(|name| (name, std::fs::read(golden_folder("llama-gguf-mix").join(name)).unwrap()));
    let files = |parts: &[(&str, Vec<u8>)]| {
        let reader = |(name, bytes): &(&str, Vec<u8>)| Rc::new(MemoryReader::new(*name, bytes.clone())) as Rc<dyn RangeReader>;
        ModelFiles::GgufParts(parts.iter().map(reader).collect())
    };
    let whole = pollster::block_on(Checkpoint::open(&files(&parts))).unwrap();
    for kind in [SourceKind::Q4_0, SourceKind::Q8_0] {
        let matrices: Vec<_> = whole.tensors().iter().filter(|tensor| tensor.kind == kind && tensor.rows() > 9).collect();
        assert!(!matrices.is_empty(), "{kind}");
        for tensor in matrices {
            for row in [0, 9] {
                let mut damaged = parts.clone();
                let at = tensor.offset as usize + row * tensor.row_bytes();
                damaged[tensor.file].1[at..at + 2].copy_from_slice(&[0x00, 0xfc]);
                let error = Loading::default().try_load(files(&damaged)).err().unwrap();
                let detail = error.detail();
                assert!(
                    error.code() == "bad-model" && detail.contains(&format!("row {row}: ")) && detail.contains(&tensor.name),
                    "{error}"
                );
            }
        }
    }
    assert!(Loading::default().try_load(files(&parts)).is_ok());
}

#[test]
fn a_page_instead_of_a_file_is_recognised() {
    for name in ["config.json", "model.safetensors"] {
        refused(|files| drop(files.insert(name.into(), b"<!doctype html><title>404</title>".to_vec())), "bad-model", &["HTML"]);
    }
    refused(|files| drop(files.insert("tokenizer.json".into(), b"<html>".to_vec())), "bad-model", &["tokenizer.json"]);
}

#[test]
fn an_empty_or_truncated_file_is_refused() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        refused(|files| drop(files.insert(name.into(), Vec::new())), "bad-model", &[]);
        for keep in [|length| length / 2, |length| length - 3, |_| 7] {
            let keep: fn(usize) -> usize = keep;
            let truncate = |files: &mut Files| {
                let file = files.get_mut(name).unwrap();
                file.truncate(keep(file.len()));
            };
            refused(truncate, "bad-model", &[]);
        }
    }
}

#[test]
fn an_architecture_that_is_not_supported_is_named() {
    refused(|files| replace(files, "config.json", "\"llama\"", "\"mamba\""), "unsupported-model", &["mamba"]);
}

#[test]
fn a_configuration_that_contradicts_the_tensors_is_refused() {
    let cases = [
        ("\"hidden_size\": 50", "\"hidden_size\": 60"),
        ("\"intermediate_size\": 67", "\"intermediate_size\": 66"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
        ("\"vocab_size\": 131", "\"vocab_size\": 132"),
        ("\"num_key_value_heads\": 1", "\"num_key_value_heads\": 5"),
        ("\"attention_bias\": false", "\"attention_bias\": true"),
    ];
    for (from, to) in cases {
        refused(|files| replace(files, "config.json", from, to), "bad-model", &[]);
    }
}

#[test]
fn a_tensor_of_a_kind_that_is_not_supported_is_named() {
    refused(
        |files| {
            // The header's length stays: one name of two letters and two digits for another.
            let weights = files.get_mut("model.safetensors").unwrap();
            let at = weights.windows(5).position(|window| window == b"\"F16\"").unwrap();
            weights[at..at + 5].copy_from_slice(b"\"I16\"");
        },
        "unsupported-model",
        &["I16"],
    );
}

#[test]
fn what_calls_itself_gguf_and_is_not_is_refused() {
    let gguf = |bytes: &[u8]| {
        Loading::default().try_load(ModelFiles::Gguf(Rc::new(MemoryReader::new("m.gguf", bytes.to_vec())))).err().unwrap()
    };
    for bytes in [&b""[..], b"GGUF", b"<html></html>", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0\0"] {
        let error = gguf(bytes);
        assert_eq!(error.code(), "bad-model", "{error}");
    }
    let whole = std::fs::read(golden_folder(MODEL).join("model.gguf")).unwrap();
    // The last bytes may be padding.
    for length in [whole.len() - 64, whole.len() / 2, 200, 30] {
        let error = gguf(&whole[..length]);
        assert_eq!(error.code(), "bad-model", "{length} bytes: {error}");
    }
}

#[test]
fn a_bad_request_has_its_code_before_any_work() {
    let engine = Loading::default().context(32).load(&golden_folder(MODEL));
    let ids = |count: usize| Prompt::Ids(vec![9; count]);
    let text = |text: &str| Prompt::Text(text.into());
    let cases: [(Prompt, GenerateOptions, &str, &[&str]); 10] = [
        (ids(0), greedy(1), "bad-input", &["empty"]),
        (ids(33), GenerateOptions::default(), "context-overflow", &["33", "32"]),
        (ids(32), GenerateOptions::default(), "context-overflow", &["32"]),
        (ids(30), greedy(3), "context-overflow", &["30", "3 more", "32"]),
        (text(&"w9 ".repeat(50)), greedy(1), "context-overflow", &["51", "32"]),
        (Prompt::Ids(vec![131]), greedy(1), "bad-input", &["131"]),
        (ids(3), greedy(0), "bad-input", &["maxTokens"]),
        (ids(3), GenerateOptions { temperature: -1.0, ..greedy(1) }, "bad-input", &["temperature"]),
        (ids(3), GenerateOptions { logit_bias: BTreeMap::from([(500, 1.0)]), ..greedy(1) }, "bad-input", &["500"]),
        (Prompt::Messages(vec![Message::user("w9")]), greedy(1), "bad-input", &["chat template", "prompt"]),
    ];
    let session = engine.session();
    let memory = engine.info().memory_bytes;
    for (prompt, options, code, words) in cases {
        let request = Request::new(prompt, options);
        let error = session.start(&request).err().unwrap_or_else(|| panic!("{request:?} was accepted"));
        assert_eq!(error.code(), code, "{error}");
        for word in words {
            assert!(error.detail().contains(word), "{error} does not say {word:?}");
        }
    }
    assert_eq!(engine.info().memory_bytes, memory, "nothing was allocated");
    assert_eq!(answer(&engine, ids(31), GenerateOptions::default()).token_ids.len(), 1);
}

#[test]
fn a_bad_option_of_a_load_has_its_code() {
    let load = |loading: Loading| loading.try_load(conformance::folder_files(&golden_folder(MODEL))).err().unwrap();
    for (error, word) in [
        (load(Loading::default().context(0)), "contextTokens"),
        (load(Loading::default().context(129)), "128"),
        (load(Loading::default().chunks_of(0)), "prefillChunkTokens"),
    ] {
        assert_eq!(error.code(), "bad-input");
        assert!(error.detail().contains(word), "{error}");
    }
}
