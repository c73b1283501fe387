//! Tokenizers and chat templates damaged at random, the same way in every run: none may panic, hang, or take more memory than its size accounts for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/fuzz/damage.rs"]
mod damage;

use std::path::Path;

use damage::{Random, damage, damaged_text, peak, runs, within};
use eyas_core::{Message, Role};
use eyas_text::{ChatTemplate, EncodeOptions, GgufVocab, RenderOptions, Tokenizer};
use serde_json::{Value, json};

/// Has words, digits, marks, spaces, special tokens and what is no character of any vocabulary.
const TEXT: &str = "The weather's  n\u{e4}ive caf\u{65}\u{301}\n\n[SEP] 12345 \u{1f600} \u{0} \u{fffd}the";

fn golden(folder: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens").join(folder).join("tokenizer.json");
    std::fs::read(path).unwrap()
}

/// Every use of a tokenizer that was accepted: what comes back lies in its vocabulary.
fn use_all(tokenizer: &Tokenizer) {
    for add_special in [false, true] {
        let Ok(ids) = tokenizer.encode(TEXT, EncodeOptions { add_special, parse_special: add_special }) else { continue };
        assert!(ids.len() <= 16 * TEXT.len(), "{} ids", ids.len());
        let _ = tokenizer.decode(&ids, false);
    }
    let _ = tokenizer
        .encode_pair(TEXT, "a", 12)
        .map(|pair| assert_eq!((pair.ids.len(), pair.ids.len() <= 12), (pair.types.len(), true)));
    let _ = tokenizer.shield(TEXT);
    tokenizer.token_text(3);
}

/// Changes one value somewhere in a document into another of any kind.
fn change(value: &mut Value, random: &mut Random) {
    let children = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if children > 0 && random.below(8) > 0 {
        let at = random.below(children);
        let child = match value {
            Value::Array(list) => list.get_mut(at),
            Value::Object(map) => map.values_mut().nth(at),
            _ => None,
        };
        if let Some(child) = child {
            change(child, random);
        }
        return;
    }
    let others = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(1_u64 << 40),
        json!(4_294_967_295_u32),
        json!(""),
        json!("a"),
        json!("[SEP]"),
        json!("\u{120}\u{120}"),
        json!("(a*)*b"),
        json!([]),
        json!([[0, 1]]),
        json!({}),
        json!({"type": "Sequence", "normalizers": [], "pretokenizers": [], "processors": [], "decoders": []}),
        json!({"type": "Split", "pattern": {"Regex": "(a|a)*b"}, "behavior": "Isolated", "invert": false}),
        json!({"type": "Replace", "pattern": {"String": ""}, "content": "xx"}),
    ];
    *value = others[random.below(others.len())].clone();
}

#[test]
fn damaged_tokenizers() {
    let accepted = within(300_000, || {
        let mut random = Random(5);
        let mut accepted = 0;
        for folder in ["encoder-bert-mean", "encoder-modernbert-mean", "llama-gqa-llama3", "family-gemma3-listed"] {
            let good = golden(folder);
            let document: Value = serde_json::from_slice(&good).unwrap();
            for run in 0..runs(400) {
                let bytes = if run % 4 == 0 {
                    damage(&good, &mut random)
                } else {
                    let mut changed = document.clone();
                    for _ in 0..=random.below(2) {
                        change(&mut changed, &mut random);
                    }
                    changed.to_string().into_bytes()
                };
                let size = bytes.len();
                let (tokenizer, peak_bytes) = peak(|| Tokenizer::from_json(&bytes, None));
                assert!(peak_bytes <= 64 * size + (64 << 20), "{folder}, run {run}: a file of {size} bytes took {peak_bytes}");
                match tokenizer {
                    Ok(tokenizer) => {
                        accepted += 1;
                        use_all(&tokenizer);
                    }
                    Err(error) => {
                        assert!(matches!(error.code(), "bad-model" | "unsupported-model"), "{folder}, run {run}: {error}");
                    }
                }
            }
        }
        accepted
    });
    assert!(accepted > 200, "only {accepted} were accepted: the damage is too great to reach what is behind");
}

#[test]
fn damaged_gguf_vocabularies() {
    fn pair([left, right]: [&str; 2]) -> (String, String) {
        (left.to_owned(), right.to_owned())
    }
    let good = |model: &str| GgufVocab {
        model: model.to_owned(),
        pre: Some("default".to_owned()),
        tokens: ["<unk>", "<s>", "</s>", "\u{2581}the", "the", "a", "t", "h", "e", "\u{120}", "<0x0A>", "th"]
            .map(str::to_owned)
            .to_vec(),
        scores: Some(vec![0.0; 12]),
        token_types: Some(vec![2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 1]),
        merges: Some(vec![pair(["t", "h"]), pair(["th", "e"])]),
        bos_id: Some(1),
        eos_id: Some(2),
        unk_id: Some(0),
        add_bos: Some(true),
        add_eos: None,
        add_space_prefix: Some(true),
        remove_extra_whitespaces: None,
        charsmap: None,
    };
    let accepted = within(120_000, move || {
        let mut random = Random(9);
        let mut accepted = 0;
        for run in 0..runs(3_000) {
            let mut vocab = good(["llama", "gpt2", "bert", "t5"][run % 4]);
            for _ in 0..=random.below(2) {
                let at = random.below(vocab.tokens.len().max(1));
                let id = Some([0, 1, 11, 12, u32::MAX][random.below(5)]);
                match random.below(10) {
                    0 => vocab.tokens.truncate(at),
                    1 => vocab.tokens[at] = ["", "a", "<0xZZ>", "\u{0}", "<0x0A>"][random.below(5)].to_owned(),
                    2 => vocab.scores = Some(vec![[f32::NAN, f32::INFINITY, -1e30][random.below(3)]; 12 - random.below(2)]),
                    3 => vocab.token_types = Some(vec![random.next() as i32; 12]),
                    4 => {
                        let merges = [["t", ""], ["t", " h"], ["x", "y"], ["", ""], ["the", "the"], ["\u{2581}the", "the"]];
                        vocab.merges = [None, Some(vec![pair(merges[random.below(6)])])][random.below(2)].clone();
                    }
                    5 => vocab.bos_id = id,
                    6 => vocab.unk_id = id,
                    7 => vocab.pre = Some(damaged_text("llama-bpe", &mut random)),
                    8 => vocab.eos_id = id,
                    _ => (vocab.scores, vocab.token_types) = (None, None),
                }
                if vocab.tokens.is_empty() {
                    break;
                }
            }
            match Tokenizer::from_gguf(vocab) {
                Ok(tokenizer) => {
                    accepted += 1;
                    use_all(&tokenizer);
                }
                Err(error) => assert!(matches!(error.code(), "bad-model" | "unsupported-model"), "run {run}: {error}"),
            }
        }
        accepted
    });
    assert!(accepted > 300, "only {accepted} were accepted");
}

const TEMPLATES: [&str; 3] = [
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}\
     <|{{ m['role'] | upper }}|>{{ m.content | trim }}{{ '\\n' if not loop.last }}{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
    "{%- set ns = namespace(n=0, seen=false) -%}{%- for m in messages[::-1] -%}{%- set ns.n = ns.n + m.content.split('x')|length -%}{%- endfor -%}\
     {%- macro show(v, deep=1) -%}{{ v | tojson(indent=2) }}{% if deep < 3 %}{{ show([v], deep + 1) }}{% endif %}{%- endmacro -%}{{ show(messages[0]) }}{{ ns.n }}",
    "{%- if tools is defined and tools -%}{%- for t in tools -%}{{ t.items() | list | length }}{%- endfor -%}{%- else -%}{{ strftime_now('%d %b %Y') }}{%- endif -%}\
     {%- for k, v in {'a': 1, 'b': [2, 3]}.items() if v -%}{{ k ~ v|string * 2 }}{%- break -%}{%- endfor -%}{{ 'x'.replace('x', messages[0].content[:3]) }}",
];

#[test]
fn damaged_templates() {
    let rendered = within(300_000, || {
        let messages = [Message::user("hi"), Message::new(Role::Assistant, "hello")];
        let options = RenderOptions { bos_token: Some("<s>".into()), now: Some(1_725_364_800), ..RenderOptions::default() };
        let mut random = Random(11);
        let mut rendered = 0;
        for run in 0..runs(6_000) {
            let source = damaged_text(TEMPLATES[run % TEMPLATES.len()], &mut random);
            let (result, peak_bytes) =
                peak(|| ChatTemplate::new(&source).and_then(|template| template.render(&messages, &options)));
            assert!(peak_bytes <= 128 << 20, "run {run}: {source:?} took {peak_bytes} bytes");
            match result {
                Ok(_) => rendered += 1,
                Err(error) => {
                    assert!(
                        matches!(error.code(), "bad-model" | "bad-input" | "unsupported-model"),
                        "run {run}: {source:?}: {error}"
                    );
                }
            }
        }
        rendered
    });
    assert!(rendered > 200, "only {rendered} were rendered");
}
