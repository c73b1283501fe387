//! GGUF vocabularies against the token ids that their origin gives for 46 texts each.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;

use std::fs;

use eyas_text::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

/// Compares every case of one vocabulary, and decodes it back.
fn check(name: &str) {
    let Some(tokenizer) = check_ids(name) else { return };
    for text in texts(name) {
        let ids = tokenizer.encode(&text, PLAIN).unwrap();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
}

fn read(name: &str, end: &str) -> String {
    let folder = oracle::oracles("tokenizers").unwrap();
    fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.{end}"))).unwrap()
}

fn texts(name: &str) -> Vec<String> {
    read(name, "inp").split("\n__ggml_vocab_test__\n").map(str::to_owned).collect()
}

/// Compares every case of one vocabulary.
fn check_ids(name: &str) -> Option<Tokenizer> {
    let path = oracle::oracles("tokenizers")?.join(format!("ggml-vocab-{name}.gguf"));
    let tokenizer = Tokenizer::from_gguf(oracle::gguf_vocab(&path)).unwrap();
    let (texts, outputs) = (texts(name), read(name, "out"));
    let expected: Vec<Vec<u32>> =
        outputs.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    assert_eq!(texts.len() - usize::from(texts.last().is_some_and(String::is_empty)), expected.len());
    let mut wrong = Vec::new();
    for (text, expected) in texts.iter().zip(&expected) {
        let ids = tokenizer.encode(text, PLAIN).unwrap();
        if ids != *expected {
            wrong.push(format!("{text:?}: {ids:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    println!("{name}: {} texts", expected.len());
    Some(tokenizer)
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

/// Decoding gives the words in lower case, so that it is checked for some only.
#[test]
fn bert_bge() {
    let Some(tokenizer) = check_ids("bert-bge") else { return };
    let framed = tokenizer.encode("Hello, world!", EncodeOptions { add_special: true, parse_special: false }).unwrap();
    assert_eq!((framed.first(), framed.last()), (Some(&101), Some(&102)));
    assert_eq!(tokenizer.decode(&framed, true).unwrap(), "hello, world!");
    assert!(tokenizer.encode("[SEP]", PLAIN).unwrap().iter().all(|&id| id != 102));
    assert_eq!(tokenizer.encode("[SEP]", EncodeOptions { add_special: false, parse_special: true }).unwrap(), [102]);
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
        // Shielded, the token stays text even where others around it are parsed.
        let both = format!("{}{text}", tokenizer.shield(&input));
        let shielded = tokenizer.encode(&both, EncodeOptions { add_special: false, parse_special: true }).unwrap();
        assert_eq!(shielded, [plain.as_slice(), &[id]].concat(), "{name}");
        assert_eq!(tokenizer.id(text), Some(id));
        assert!(tokenizer.is_special(id));
        let (bos, _) = tokenizer.bos_token().unwrap();
        let begun = tokenizer.encode("x", EncodeOptions { add_special: true, parse_special: false }).unwrap();
        assert_eq!(begun[0] == bos, name != "qwen2", "{name}");
    }
}
