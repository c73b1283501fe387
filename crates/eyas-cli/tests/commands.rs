//! Every command, as a person calls it, on a tiny model of tests/goldens.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn golden(path: &str) -> String {
    format!("{}/../../tests/goldens/{path}", std::env::var("CARGO_MANIFEST_DIR").unwrap())
}

fn model() -> String {
    golden("llama-gqa-llama3")
}

/// A file of this test's own.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eyas-cli"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early closes its input before all of it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The standard output of a command that must succeed.
fn output(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str], input: &str) -> Value {
    let text = output(&[arguments, &["--json"]].concat(), input);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn generate_continues_a_text() {
    let arguments = ["generate", "--model", &model(), "--device", "cpu", "--prompt", "w9 w10 w11", "--max-tokens", "5"];
    let completion = json(&arguments, "");
    assert_eq!(ids(&completion["tokenIds"]).len(), 5);
    assert_eq!((completion["finishReason"].as_str(), completion["usage"]["promptTokens"].as_u64()), (Some("length"), Some(4)));
    assert_eq!(completion["provenance"]["tier"], "local");
    assert_eq!(output(&arguments, "").trim_end_matches('\n'), completion["text"].as_str().unwrap());
}

#[test]
fn generate_answers_messages_and_takes_sampling_flags() {
    let messages = scratch("messages.json");
    std::fs::write(&messages, r#"[{"role":"user","content":"w9 w10"}]"#).unwrap();
    let arguments = "--temperature 1 --top-k 50 --top-p 0.9 --min-p 0.01 --seed 7 --repetition-penalty 1.1 --presence-penalty -0.5 \
        --frequency-penalty 0.1 --logit-bias 2=-inf --stop w999 --logprobs --top-logprobs 2 --max-tokens 4 --device cpu";
    let model = model();
    let fixed = ["generate", "--model", &model, "--messages", messages.to_str().unwrap()];
    let arguments: Vec<&str> = fixed.into_iter().chain(arguments.split_whitespace()).collect();
    let completion = json(&arguments, "");
    assert_eq!(completion["seed"], 7);
    assert_eq!(completion["logprobs"][3]["top"].as_array().unwrap().len(), 2);
    assert_eq!(completion["tokenIds"], json(&arguments, "")["tokenIds"]);
    std::fs::remove_file(messages).unwrap();
}

#[test]
fn tokenize_goes_both_ways() {
    let model = model();
    let base = ["tokenize", "--model", &model];
    assert_eq!(output(&base, "w9 w10"), "9 10\n");
    assert_eq!(output(&[&base[..], &["--special"]].concat(), "w9 </s>"), "1 9 2\n");
    assert_eq!(ids(&json(&base, "w9 w10")["ids"]), [9, 10]);
    assert_eq!(json(&[&base[..], &["--decode"]].concat(), "9 10")["text"], output(&[&base[..], &["--decode"]].concat(), "9 10"));
}

#[test]
fn render_prints_the_templates_bytes() {
    let messages = scratch("render.json");
    std::fs::write(&messages, r#"[{"role":"user","content":"hi"}]"#).unwrap();
    let model = model();
    let arguments = ["render", "--model", &model, "--messages", messages.to_str().unwrap()];
    assert_eq!(output(&arguments, ""), "<s>user hi </s> assistant");
    assert_eq!(output(&[&arguments[..], &["--no-generation-prompt"]].concat(), ""), "<s>user hi </s> ");
    assert_eq!(json(&arguments, "")["text"], "<s>user hi </s> assistant");
    std::fs::remove_file(messages).unwrap();
}

#[test]
fn logits_are_those_of_the_reference() {
    let golden_json: Value =
        serde_json::from_str(&std::fs::read_to_string(golden("llama-gqa-llama3/golden.json")).unwrap()).unwrap();
    let list = ids(&golden_json["ids"]).iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let out = scratch("logits.f32");
    let model = model();
    let arguments = ["logits", "--model", &model, "--ids", &list, "--out", out.to_str().unwrap(), "--device", "cpu"];
    let report = json(&arguments, "");
    assert_eq!((report["positions"].as_u64(), report["vocabSize"].as_u64()), (Some(40), Some(131)));
    let floats = |bytes: Vec<u8>| -> Vec<f32> {
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let found = floats(std::fs::read(&out).unwrap());
    let expected = floats(std::fs::read(golden("llama-gqa-llama3/logits.f32")).unwrap());
    assert_eq!(found.len(), 40 * 131);
    let largest = expected.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-4 * largest));
    std::fs::remove_file(out).unwrap();
}

#[test]
fn embed_and_classify_read_arguments_or_lines() {
    let model = golden("encoder-bert-mean");
    let arguments = ["embed", "--model", &model, "--device", "cpu", "--quantize", "none"];
    let lines = output(&arguments, "a\nthe weather\n");
    assert_eq!(lines.lines().map(|line| line.split(' ').count()).collect::<Vec<_>>(), [36, 36]);
    let report = json(&[&arguments[..], &["--text", "the weather"]].concat(), "");
    assert_eq!((report["model"]["kind"].as_str(), report["embeddings"][0]["tokens"].as_u64()), (Some("encoder"), Some(4)));
    let first = report["embeddings"][0]["vector"][0].as_f64().unwrap();
    let of_line = lines.lines().nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((first - of_line).abs() < 1e-6);

    let model = golden("encoder-bert-labels");
    let scores = json(&["classify", "--model", &model, "--device", "cpu", "--text", "a"], "");
    assert_eq!(scores["scores"][0].as_array().unwrap().len(), 3);
    let pair = json(&["classify", "--model", &model, "--device", "cpu", "--text", "a", "--pair", "the weather"], "");
    assert_ne!(pair["scores"][0], scores["scores"][0]);
    let prompted = golden("encoder-gemma3-projected");
    let report = json(&["embed", "--model", &prompted, "--device", "cpu", "--text", "a", "--prompt", "query"], "");
    assert_eq!(report["embeddings"][0]["vector"].as_array().unwrap().len(), 28);
    let refusals: [&[&str]; 4] = [
        &["classify", "--model", &golden("encoder-bert-mean"), "--text", "a", "--device", "cpu"],
        &["classify", "--model", &golden("encoder-bert-mean"), "--text", "a", "--pair", "b", "--device", "cpu"],
        &["embed", "--model", &golden("llama-gqa-llama3"), "--text", "a", "--device", "cpu"],
        &["generate", "--model", &golden("encoder-bert-mean"), "--prompt", "a", "--device", "cpu"],
    ];
    for arguments in refusals {
        let failed = run(arguments, "");
        assert!(String::from_utf8_lossy(&failed.stderr).starts_with("unsupported-model: "), "{arguments:?}");
    }
}

#[test]
fn inspect_lists_tensors_and_refusals() {
    let report = json(&["inspect", &model(), "--quantize", "q8"], "");
    assert_eq!((report["format"].as_str(), report["architecture"].as_str()), (Some("safetensors"), Some("llama")));
    assert_eq!(report["tensors"].as_array().unwrap().len(), 3 + 3 * 9);
    assert_eq!(report["config"]["kvHeads"], 2);
    assert!(report["loadedBytes"].as_u64().unwrap() < report["storedBytes"].as_u64().unwrap());
    assert!(report["refusals"].as_array().unwrap().is_empty());

    let report = json(&["inspect", &golden("encoder-bert-labels")], "");
    assert_eq!((report["architecture"].as_str(), report["config"]["labels"][1].as_str()), (Some("bert"), Some("glad")));
    assert!(report["refusals"].as_array().unwrap().is_empty() && report["loadedBytes"].as_u64().unwrap() > 0, "{report}");

    let bad = scratch("bad.gguf");
    std::fs::write(&bad, "<html>").unwrap();
    let report = json(&["inspect", bad.to_str().unwrap()], "");
    assert_eq!(report["refusals"][0]["code"], "bad-model");
    assert!(output(&["inspect", bad.to_str().unwrap()], "").contains("refused: weights: bad-model"));
    std::fs::remove_file(bad).unwrap();
}

#[test]
fn bench_measures_prefill_and_decode() {
    let model = model();
    let arguments = ["bench", "--model", &model, "--prompt-tokens", "32", "--tokens", "8", "--repeats", "2", "--device", "cpu"];
    let report = json(&arguments, "");
    for key in
        ["loadMs", "prefillMs", "prefillTokensPerSecond", "firstTokenMs", "decodeTokensPerSecond", "memoryBytes", "routingMs"]
    {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}: {report}");
    }
    assert!(output(&arguments, "").contains("decode"));
}

#[test]
fn a_failure_has_a_code_and_status_1() {
    let model = model();
    let cases: [(&[&str], &str); 6] = [
        (&["generate", "--model", "no-such-model", "--prompt", "a"], "model-not-found"),
        (&["generate", "--model", &model, "--prompt", "a", "--temperature", "hot"], "bad-input"),
        (&["generate", "--model", &model, "--prompt", "a", "--temperature", "-1"], "bad-input"),
        (&["generate", "--model", &model, "--prompt", "a", "--max-tokens", "5000", "--device", "cpu"], "context-overflow"),
        (&["generate", "--model", &model], "bad-input"),
        (&["render", "--model", &golden("llama-mqa-f16"), "--messages", "no-such-file"], "bad-input"),
    ];
    for (arguments, code) in cases {
        let plain = run(arguments, "");
        assert_eq!(plain.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&plain.stderr).starts_with(&format!("{code}: ")), "{arguments:?}");
        assert!(plain.stdout.is_empty(), "{arguments:?}");
        let with_json = run(&[arguments, &["--json"]].concat(), "");
        let report: Value = serde_json::from_slice(&with_json.stdout).unwrap();
        assert_eq!((with_json.status.code(), report["error"]["code"].as_str()), (Some(1), Some(code)));
        assert!(!report["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_model_is_packed_and_signed() {
    let folder = scratch("packed");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(model()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let key = scratch("packed.key");
    let public_key = output(&["key", key.to_str().unwrap()], "");
    assert_eq!(public_key.trim().len(), 44);
    assert!(!run(&["key", key.to_str().unwrap()], "").status.success(), "a key is never overwritten");

    let path = folder.to_str().unwrap();
    let arguments = [
        "pack",
        path,
        "--device",
        "cpu",
        "--quantize",
        "none",
        "--licence",
        "MIT",
        "--prompt",
        "w9 w10 w11",
        "--sign",
        key.to_str().unwrap(),
    ];
    let report = json(&arguments, "");
    assert_eq!(report["publicKey"].as_str(), Some(public_key.trim()));
    let read = || std::fs::read(folder.join("eyas.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&read()).unwrap();
    assert_eq!(
        (manifest["licence"].as_str(), manifest["minimumVersion"].as_str()),
        (Some("MIT"), Some(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(manifest["files"].as_array().unwrap().len() as u64, report["files"].as_u64().unwrap());
    let weights = manifest["files"].as_array().unwrap().iter().find(|file| file["name"] == "model.safetensors").unwrap();
    assert_eq!(weights["bytes"].as_u64(), Some(std::fs::metadata(folder.join("model.safetensors")).unwrap().len()));
    assert_eq!(weights["sha256"].as_str().map(str::len), Some(64));
    assert!(manifest["plan"]["weightBytes"].as_u64() > Some(0));
    let greedy = [
        "generate",
        "--model",
        path,
        "--device",
        "cpu",
        "--quantize",
        "none",
        "--prompt",
        "w9 w10 w11",
        "--max-tokens",
        "8",
        "--temperature",
        "0",
    ];
    let tokens = ids(&json(&greedy, "")["tokenIds"]);
    for expected in manifest["expected"].as_array().into_iter().flatten() {
        assert!(tokens.starts_with(&ids(&expected["tokens"])));
    }
    let signature = std::fs::read_to_string(folder.join("eyas.manifest.json.sig")).unwrap();
    assert_eq!(signature.trim().len(), 88);

    // The same folder gives the same manifest; without a key an old signature goes.
    let before = read();
    json(&arguments[..arguments.len() - 2], "");
    assert_eq!(read(), before);
    assert!(!folder.join("eyas.manifest.json.sig").exists());
    let failure = run(&["pack", path, "--json", "--minimum-version", "soon"], "");
    assert!(String::from_utf8_lossy(&failure.stdout).contains("bad-model"));
    let failure = run(&["pack", path, "--json", "--sign", path], "");
    assert!(String::from_utf8_lossy(&failure.stdout).contains("bad-input"));
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::remove_file(key).unwrap();
}
