//! `tokenizer.json`: real files, malformed files, and the stream decoder's promise.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;

use std::{fs, sync::LazyLock};

use eyas_text::{EncodeOptions, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const CHAT: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };
const TEXTS: [&str; 7] =
    ["Hello world", " two  spaces ", "Grüße, 世界! 🦅😶‍🌫️", "\n\n\t x", "", "33333 3.3", "<|im_end|> </s> <|user|> [INST]"];

fn load(file: &str) -> Option<Tokenizer> {
    let folder = oracle::oracles("tokenizers")?;
    Some(Tokenizer::from_json(&fs::read(folder.join(file)).unwrap(), None).unwrap())
}

#[test]
fn real_files_round_trip() {
    for file in ["smollm_tokenizer.json", "phi3_tokenizer.json"] {
        let Some(tokenizer) = load(file) else { return };
        for text in TEXTS {
            let ids = tokenizer.encode(text, PLAIN).unwrap();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text, "{file}");
        }
    }
}

/// Both decode every id alone and a mixed sequence as the `tokenizers` crate does.
#[test]
fn decoding_agrees_with_the_library() {
    let Some(folder) = oracle::oracles("tokenizers") else { return };
    for file in ["smollm_tokenizer.json", "phi3_tokenizer.json"] {
        let bytes = fs::read(folder.join(file)).unwrap();
        let ours = Tokenizer::from_json(&bytes, None).unwrap();
        let library = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
        for skip in [false, true] {
            for id in 0..ours.vocab_size() as u32 {
                assert_eq!(ours.decode(&[id], skip).unwrap(), library.decode(&[id], skip).unwrap(), "{file} {id}");
            }
            for text in TEXTS {
                let ids = ours.encode(text, CHAT).unwrap();
                assert_eq!(ids, library.encode(text, false).unwrap().get_ids());
                assert_eq!(ours.decode(&ids, skip).unwrap(), library.decode(&ids, skip).unwrap(), "{file} {text}");
            }
        }
    }
}

/// What was shielded is encoded as plain text, whatever is around it.
#[test]
fn a_shield_keeps_special_tokens_text() {
    for file in ["smollm_tokenizer.json", "phi3_tokenizer.json"] {
        let Some(tokenizer) = load(file) else { return };
        let special = (0..tokenizer.vocab_size() as u32).filter(|id| tokenizer.is_special(*id));
        let written: Vec<String> = special.map(|id| tokenizer.token_text(id)).filter(|text| !text.is_empty()).collect();
        assert!(written.len() > 3, "{file}");
        for text in written.iter().flat_map(|token| [format!("a{token}b"), format!("{token}{token}"), format!(" {token} é")]) {
            let shielded = tokenizer.encode(&tokenizer.shield(&text), CHAT).unwrap();
            assert_eq!(shielded, tokenizer.encode(&text, PLAIN).unwrap(), "{file}: {text}");
            assert!(shielded.iter().all(|id| !tokenizer.is_special(*id)));
        }
        for text in TEXTS.iter().filter(|text| !text.contains('<')) {
            assert_eq!(tokenizer.shield(text), *text);
        }
    }
}

#[test]
fn special_tokens_are_parsed_only_where_asked() {
    let Some(tokenizer) = load("smollm_tokenizer.json") else { return };
    let id = tokenizer.id("<|im_end|>").unwrap();
    assert!(tokenizer.is_special(id));
    assert_eq!(tokenizer.encode("<|im_end|>", CHAT).unwrap(), [id]);
    assert!(tokenizer.encode("<|im_end|>", PLAIN).unwrap().len() > 1);
    assert_eq!(tokenizer.encode("<|im_end|>", CHAT).unwrap(), [id]); // and back again
    assert_eq!(tokenizer.decode(&[id], true).unwrap(), "");
    assert_eq!(tokenizer.decode(&[id], false).unwrap(), "<|im_end|>");
    assert_eq!(tokenizer.token_text(id), "<|im_end|>");
}

#[test]
fn the_story_model_begins_texts_as_its_config_says() {
    let Some(folder) = oracle::oracles("stories260K/hf") else { return };
    let config: Value = serde_json::from_slice(&fs::read(folder.join("tokenizer_config.json")).unwrap()).unwrap();
    let tokenizer = Tokenizer::from_json(&fs::read(folder.join("tokenizer.json")).unwrap(), Some(&config)).unwrap();
    assert_eq!(tokenizer.bos_token(), Some((1, "<s>")));
    assert_eq!(tokenizer.eos_token(), Some((2, "</s>")));
    assert_eq!(tokenizer.vocab_size(), 512);
    let ids = tokenizer.encode("Once upon a time", EncodeOptions { add_special: true, parse_special: false }).unwrap();
    assert_eq!(ids[0], 1);
    assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 1);
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "Once upon a time");
}

/// A small file that is well formed.
fn small() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    })
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    let tokenizer = Tokenizer::from_json(small().to_string().as_bytes(), None).unwrap();
    for id in [4, u32::MAX] {
        assert_eq!(tokenizer.decode(&[id], false).unwrap_err().code(), "bad-input");
        assert_eq!(tokenizer.stream_decoder(true).push(id).unwrap_err().code(), "bad-input");
        assert_eq!(tokenizer.token_text(id), "");
        assert!(!tokenizer.is_special(id));
    }
}

#[test]
fn contradictory_files_are_refused() {
    let set = |pointer: &str, value: Value| {
        let mut file = small();
        *file.pointer_mut(pointer).unwrap() = value;
        file
    };
    let bad = [
        set("/model/merges", json!([["ab", "ab"]])),
        set("/model/merges", json!([["a", "x"]])),
        set("/model/merges", json!(["ab"])),
        set("/model/vocab", json!({"a": 0, "b": 1, "ab": 4_294_967_295_u32})),
        set("/model/vocab", json!(7)),
        set("/model", json!(null)),
        set("/added_tokens/0/id", json!(9)),
        set("/added_tokens/0/id", json!(-1)),
        set("/post_processor/special_tokens", json!({})),
        set("/post_processor", json!({"type": "TemplateProcessing"})),
        set("/decoder", json!("ByteLevel")),
        set("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        set("/version", json!("2.0")),
    ];
    for file in bad {
        let error = Tokenizer::from_json(file.to_string().as_bytes(), None).unwrap_err();
        assert_eq!(error.code(), "bad-model", "{error} {file}");
    }
    let unsupported = [
        set("/decoder", json!({"type": "CTC"})),
        set("/pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        set("/model/type", json!("Quux")),
    ];
    for file in unsupported {
        let error = Tokenizer::from_json(file.to_string().as_bytes(), None).unwrap_err();
        assert_eq!(error.code(), "unsupported-model", "{error} {file}");
    }
}

static SMOLLM: LazyLock<Option<Tokenizer>> = LazyLock::new(|| load("smollm_tokenizer.json"));
static PHI3: LazyLock<Option<Tokenizer>> = LazyLock::new(|| load("phi3_tokenizer.json"));

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn byte_level_text_comes_back(text in "\\PC{0,40}|[ \\n\\ta-z]{0,20}") {
        if let Some(tokenizer) = SMOLLM.as_ref() {
            let ids = tokenizer.encode(&text, PLAIN).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
    }

    #[test]
    fn a_stream_is_the_whole(seeds in prop::collection::vec(0..49_152_u32, 0..30), low in any::<bool>(), skip in any::<bool>()) {
        for tokenizer in [SMOLLM.as_ref(), PHI3.as_ref()].into_iter().flatten() {
            // Low ids are mostly bytes, so that half characters are common.
            let limit = if low { 300 } else { tokenizer.vocab_size() as u32 };
            let ids: Vec<u32> = seeds.iter().map(|seed| seed % limit).collect();
            let mut decoder = tokenizer.stream_decoder(skip);
            let mut text = String::new();
            let mut bytes = Vec::new();
            for &id in &ids {
                text += &decoder.push(id).unwrap();
                if !(skip && tokenizer.is_special(id)) {
                    bytes.extend_from_slice(tokenizer.token_bytes(id));
                }
            }
            text += &decoder.finish().unwrap();
            prop_assert_eq!(&text, &tokenizer.decode(&ids, skip).unwrap());
            let whole = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(text == whole || whole.strip_prefix(' ') == Some(text.as_str()));
        }
    }

    #[test]
    fn damaged_files_never_panic(at in 0..1_000_usize, byte in any::<u8>(), cut in any::<bool>()) {
        let mut file = small().to_string().into_bytes();
        let at = at % file.len();
        if cut { file.truncate(at) } else { file[at] = byte }
        if let Ok(tokenizer) = Tokenizer::from_json(&file, None) {
            let ids = tokenizer.encode("ab<s>ba c", EncodeOptions { add_special: true, parse_special: true });
            if let Ok(ids) = ids {
                let _ = tokenizer.decode(&ids, true);
            }
        }
    }

    #[test]
    fn garbage_is_bad_model(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Tokenizer::from_json(&garbage, None).unwrap_err().code(), "bad-model");
    }
}
