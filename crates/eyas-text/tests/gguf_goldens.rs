//! GGUF vocabularies against the token ids that their origin gives for 46 texts each.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;

use std::fs;

use eyas_text::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

/// Compares every case of one vocabulary, and decodes it back.
fn check(name: &str) {
    let Some(folder) = oracle::oracles("tokenizers") else { return };
    let path = folder.join(format!("ggml-vocab-{name}.gguf"));
    let tokenizer = Tokenizer::from_gguf(oracle::gguf_vocab(&path)).unwrap();
    let read = |end: &str| fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.{end}"))).unwrap();
    let (inputs, outputs) = (read("inp"), read("out"));
    let texts: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
    let expected: Vec<Vec<u32>> =
        outputs.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    assert_eq!(texts.len() - usize::from(texts.last() == Some(&"")), expected.len());
    let mut wrong = Vec::new();
    for (text, expected) in texts.iter().zip(&expected) {
        let ids = tokenizer.encode(text, PLAIN).unwrap();
        if ids != *expected {
            wrong.push(format!("{text:?}: {ids:?}, expected {expected:?}"));
        }
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), *text);
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    println!("{name}: {} texts", expected.len());
}

#[test]
fn llama_spm() {
    check("llama-spm");
}

#[test]
fn phi_3() {
    check("phi-3");
}

#[test]
fn llama_bpe() {
    check("llama-bpe");
}

#[test]
fn gpt_2() {
    check("gpt-2");
}

#[test]
fn qwen2() {
    check("qwen2");
}

#[test]
fn word_piece_is_refused_by_name() {
    let Some(folder) = oracle::oracles("tokenizers") else { return };
    let error = Tokenizer::from_gguf(oracle::gguf_vocab(&folder.join("ggml-vocab-bert-bge.gguf"))).unwrap_err();
    assert_eq!(error.code(), "unsupported-model");
    assert!(error.detail().contains("bert"), "{error}");
}

#[test]
fn control_tokens_are_parsed_only_where_asked() {
    let Some(folder) = oracle::oracles("tokenizers") else { return };
    for (name, text, id) in [("llama-bpe", "<|eot_id|>", 128_009), ("qwen2", "<|im_end|>", 151_645), ("phi-3", "<|end|>", 32_007)]
    {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let tokenizer = Tokenizer::from_gguf(oracle::gguf_vocab(&path)).unwrap();
        let input = format!("a{text}b");
        let parsed = tokenizer.encode(&input, EncodeOptions { add_special: false, parse_special: true }).unwrap();
        assert!(parsed.contains(&id), "{name}");
        let plain = tokenizer.encode(&input, PLAIN).unwrap();
        assert!(plain.iter().all(|&id| !tokenizer.is_special(id)), "{name}: {plain:?}");
        assert_eq!(tokenizer.decode(&plain, true).unwrap(), input);
        assert_eq!(tokenizer.id(text), Some(id));
        assert!(tokenizer.is_special(id));
        let (bos, _) = tokenizer.bos_token().unwrap();
        let begun = tokenizer.encode("x", EncodeOptions { add_special: true, parse_special: false }).unwrap();
        assert_eq!(begun[0] == bos, name != "qwen2", "{name}");
    }
}
