//! Every part that a `tokenizer.json` may hold does what it does in the `tokenizers` crate, read by that crate's own reader.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use eyas_text::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

const TEXTS: [&str; 9] = [
    "Hello, world! It's 1234 items.",
    "  two  spaces\tand\ttabs \n\n",
    "Grüße aus Łódź: ﬁne Ⅷ ½ é e\u{301} ÅÅ",
    "世界、こんにちは 안녕 สวัสดี",
    "a-b_c [MASK] <s>x</s> user@example.org",
    "\u{feff}zero\u{200b}width\u{ad} \u{a0}nbsp",
    "🦅😶‍🌫️ emoji",
    "abABab  ab",
    "",
];

/// A word-level file whose vocabulary is every character and some words, so that every split shows in the ids.
fn file() -> Value {
    let mut words: Vec<String> =
        ["[UNK]", "Hello", "world", "hello", "ab", "It", "two", "spaces", "items", "12", "34", "1234", "##b", "▁two"]
            .iter()
            .map(|&word| word.to_owned())
            .collect();
    let characters: std::collections::BTreeSet<char> = TEXTS.iter().flat_map(|text| text.chars()).collect();
    words.extend(characters.into_iter().map(String::from));
    let vocab: serde_json::Map<String, Value> = words.into_iter().enumerate().map(|(id, word)| (word, json!(id))).collect();
    let added = |id: usize, content: &str, lstrip: bool, single_word: bool, normalized: bool| {
        json!({"id": id, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": lstrip, "normalized": normalized,
            "special": !normalized})
    };
    let count = vocab.len();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Fuse"},
        "added_tokens": [
            added(count, "<s>", false, false, false), added(count + 1, "</s>", false, false, false),
            added(count + 2, "[MASK]", true, false, false), added(count + 3, "user", false, true, true),
            added(count + 4, "tabs", true, true, true),
        ],
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    })
}

fn same(file: &Value) {
    let bytes = file.to_string().into_bytes();
    let ours = Tokenizer::from_json(&bytes, None).unwrap_or_else(|error| panic!("{error}: {file}"));
    let mut library = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
    for text in TEXTS {
        for parse_special in [true, false] {
            library.set_encode_special_tokens(!parse_special);
            for add_special in [true, false] {
                let expected = library.encode_fast(text, add_special).unwrap();
                let found = ours.encode(text, EncodeOptions { add_special, parse_special }).unwrap();
                assert_eq!(found, expected.get_ids(), "{text:?} {parse_special} {add_special} {file}");
            }
        }
    }
}

fn with(key: &str, part: &Value) {
    let mut file = file();
    file[key] = part.clone();
    same(&file);
    // A text that is cut into characters shows what a normalizer did to each.
    if key == "normalizer" {
        file["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false});
        same(&file);
    }
}

#[test]
fn normalizers() {
    let bert = |strip_accents: Value| json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": strip_accents, "lowercase": true});
    let parts = [
        bert(json!(null)),
        bert(json!(false)),
        json!({"type": "Lowercase"}),
        json!({"type": "NFC"}),
        json!({"type": "NFD"}),
        json!({"type": "NFKC"}),
        json!({"type": "NFKD"}),
        json!({"type": "Nmt"}),
        json!({"type": "Prepend", "prepend": "▁"}),
        json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
        json!({"type": "Replace", "pattern": {"Regex": " {2,}|e(?=l)"}, "content": "b"}),
        json!({"type": "Strip", "strip_left": true, "strip_right": false}),
        json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}),
        json!({"type": "ByteLevel"}),
        json!({"type": "Sequence", "normalizers": []}),
    ];
    for part in &parts {
        with("normalizer", part);
    }
}

#[test]
fn pre_tokenizers() {
    let split = |behavior: &str, invert: bool| json!({"type": "Split", "pattern": {"Regex": "\\s+|\\p{P}"}, "behavior": behavior, "invert": invert});
    let parts = [
        json!({"type": "BertPreTokenizer"}),
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}),
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}),
        json!({"type": "CharDelimiterSplit", "delimiter": " "}),
        json!({"type": "Digits", "individual_digits": true}),
        json!({"type": "Digits", "individual_digits": false}),
        json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}),
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}),
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "add_prefix_space": false}),
        json!({"type": "Punctuation"}),
        json!({"type": "Punctuation", "behavior": "MergedWithPrevious"}),
        json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation"}]}),
        split("Removed", false),
        split("Isolated", true),
        split("MergedWithPrevious", false),
        split("MergedWithNext", false),
        split("Contiguous", false),
        json!({"type": "Split", "pattern": {"String": "."}, "behavior": "Removed", "invert": false}),
        json!({"type": "UnicodeScripts"}),
        json!({"type": "Whitespace"}),
        json!({"type": "WhitespaceSplit"}),
    ];
    for part in &parts {
        with("pre_tokenizer", part);
    }
}

#[test]
fn post_processors() {
    let template = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [7, 8], "tokens": ["<s>", "<s>"]}, "</s>": {"id": "</s>", "ids": [9], "tokens": ["</s>"]}}});
    let parts = [
        template.clone(),
        json!({"type": "BertProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2]}),
        json!({"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2], "trim_offsets": true, "add_prefix_space": false}),
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        json!({"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false}, template]}),
    ];
    for part in &parts {
        with("post_processor", part);
    }
}

#[test]
fn models() {
    let vocab = json!({"[UNK]": 0, "a": 1, "b": 2, "ab": 3, "##b": 4, "A": 5, "<0x20>": 6, "B": 7, "ab</w>": 8, "b</w>": 9});
    let models = [
        json!({"type": "BPE", "vocab": vocab, "merges": ["a b"], "unk_token": "[UNK]", "fuse_unk": true, "dropout": null}),
        json!({"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], "unk_token": "[UNK]", "byte_fallback": true, "ignore_merges": true}),
        json!({"type": "BPE", "vocab": vocab, "merges": ["#version: 0.2", "a b", "a b</w>"], "end_of_word_suffix": "</w>", "unk_token": null}),
        json!({"vocab": vocab, "merges": []}),
        json!({"type": "WordPiece", "vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 5}),
        json!({"type": "Unigram", "vocab": [["[UNK]", 0.0], ["a", -1], ["b", -2.5], ["ab", -1.5], ["<0x20>", 0.0], [" ", -3.0]], "unk_id": 0}),
        json!({"type": "Unigram", "vocab": [["[UNK]", 0.0], ["a", -1], ["ba", -1.25]], "unk_id": 0, "byte_fallback": true}),
        json!({"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}),
    ];
    for model in models {
        for pre_tokenizer in [json!(null), json!({"type": "Whitespace"})] {
            let mut file = file();
            file["added_tokens"] = json!([]);
            file["model"] = model.clone();
            file["pre_tokenizer"] = pre_tokenizer;
            same(&file);
        }
    }
}
