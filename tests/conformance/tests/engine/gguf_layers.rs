//! In what the layers of one model differ, as a GGUF file says it: followed where it does, refused where it contradicts itself or the family.

use std::rc::Rc;

use conformance::{GgufEdit, Golden, Loading, golden_folder, largest_difference};
use eyas_core::Error;
use eyas_weights::{MemoryReader, ModelFiles};
use pollster::block_on;

const GEMMA: &str = "gemma3.attention.sliding_window_pattern";
const MODERN: &str = "modern-bert.attention.sliding_window_pattern";

/// A golden's GGUF file with a change.
fn edited(name: &str, change: impl FnOnce(GgufEdit) -> GgufEdit) -> ModelFiles {
    let file = std::fs::read(golden_folder(name).join("model.gguf")).unwrap();
    ModelFiles::Gguf(Rc::new(MemoryReader::new("model.gguf", change(GgufEdit::open(&file)).build())))
}

/// Every layer has a window but each `every`-th, from `first` on.
fn pattern(layers: usize, every: usize, first: usize) -> Vec<bool> {
    (0..layers).map(|layer| layer % every != first).collect()
}

#[test]
fn windows_of_a_decoder_are_where_the_file_says() {
    let folder = golden_folder("family-gemma3-sixth");
    let golden = Golden::read(&folder);
    let logits = |files: ModelFiles| block_on(Loading::default().try_load(files).unwrap().logits(&golden.sequence())).unwrap();
    let plain = logits(edited("family-gemma3-sixth", |file| file));
    assert!(largest_difference(&plain, &golden.logits).0 <= 1e-4 * golden.largest_logit);
    let layers = Loading::default().load(&folder).config().layers.len();
    let listed = |list: &[bool]| logits(edited("family-gemma3-sixth", |file| file.flags(GEMMA, list)));
    let every = |count| logits(edited("family-gemma3-sixth", |file| file.number(GEMMA, count)));
    assert_eq!(listed(&pattern(layers, 6, 5)), plain);
    assert_eq!(every(6), plain);
    assert_eq!(every(3), listed(&pattern(layers, 3, 2)));
    assert_eq!(every(0), listed(&vec![true; layers]));
    assert_ne!(every(3), plain);
    let mut odd = pattern(layers, 6, 5);
    odd.swap(0, 5);
    assert_ne!(listed(&odd), plain, "a list without a period");
}

#[test]
fn windows_of_an_encoder_are_where_the_file_says() {
    let name = "encoder-modernbert-mean";
    let ids = [2, 5, 9, 31, 17, 40, 22, 8, 12, 60, 33, 3];
    let states = |files: ModelFiles| block_on(Loading::default().try_load_encoder(files).unwrap().states(&ids)).unwrap();
    let plain = states(edited(name, |file| file.without(MODERN)));
    let layers = Loading::default().load_encoder(&golden_folder(name)).config().layers.len();
    let listed = |list: &[bool]| states(edited(name, |file| file.flags(MODERN, list)));
    assert_eq!(listed(&pattern(layers, 3, 0)), plain);
    assert_eq!(states(edited(name, |file| file.number(MODERN, 2))), listed(&pattern(layers, 2, 0)));
    let mut odd = pattern(layers, 3, 0);
    odd.swap(0, 1);
    assert_ne!(listed(&odd), plain, "a list without a period");
}

fn refused(files: ModelFiles, is_encoder: bool) -> Error {
    let loading = Loading::default();
    if is_encoder { loading.try_load_encoder(files).err() } else { loading.try_load(files).err() }.expect("a refusal")
}

#[test]
fn layers_that_contradict_the_file_or_the_family_are_refused() {
    let gemma = "family-gemma3-sixth";
    let modern = "encoder-modernbert-mean";
    let cases = [
        ("too short", edited(gemma, |file| file.flags(GEMMA, &[true, false])), false, "bad-model", "lists 2 layers"),
        ("no list", edited(gemma, |file| file.text(GEMMA, "LLLLLG")), false, "bad-model", "sliding_window_pattern"),
        (
            "without a window",
            edited(gemma, |file| file.number(GEMMA, 6).without("gemma3.attention.sliding_window")),
            false,
            "unsupported-model",
            "sliding_window_pattern",
        ),
        (
            "layers without positions",
            edited("family-smollm3-fourth", |file| file.flags("smollm3.rope.no_rope_layers", &[true, false])),
            false,
            "unsupported-model",
            "no_rope_layers",
        ),
        (
            "windows that the family has no place for",
            edited("family-qwen3-tied", |file| file.number("qwen3.attention.sliding_window", 8)),
            false,
            "unsupported-model",
            "sliding_window",
        ),
        (
            "a list that the family has no place for",
            edited("family-smollm3-fourth", |file| file.flags("smollm3.attention.sliding_window_pattern", &[true, false])),
            false,
            "unsupported-model",
            "sliding_window_pattern",
        ),
        ("too long", edited(modern, |file| file.flags(MODERN, &[true; 5])), true, "bad-model", "lists 5 layers"),
        (
            "without a window",
            edited(modern, |file| file.number(MODERN, 3).without("modern-bert.attention.sliding_window")),
            true,
            "unsupported-model",
            "sliding_window_pattern",
        ),
    ];
    for (what, files, is_encoder, code, word) in cases {
        let error = refused(files, is_encoder);
        assert!(error.code() == code && error.detail().contains(word), "{what}: {error}");
    }
}

#[test]
fn what_embedding_gemma_lacks_or_contradicts_is_refused() {
    let name = "encoder-gemma3-pieces";
    let key = |key: &str| format!("gemma-embedding.{key}");
    let bare = |file: GgufEdit| {
        let keys = ["dense_2_feat_in", "dense_2_feat_out", "dense_3_feat_in", "dense_3_feat_out"];
        let file = keys.iter().fold(file, |file, name| file.without(&key(name)));
        file.without_tensor("dense_2.weight").without_tensor("dense_3.weight")
    };
    let cases = [
        ("no projections", edited(name, bare), "unsupported-model", "--sentence-transformers-dense-modules"),
        ("half of them", edited(name, |file| file.without_tensor("dense_2.weight")), "bad-model", "dense_2_feat"),
        ("another width", edited(name, |file| file.number(&key("dense_3_feat_out"), 35)), "bad-model", "dense_3_feat_out"),
        (
            "a chain that breaks",
            edited(name, |file| {
                let file = file.without(&key("dense_2_feat_in")).without(&key("dense_2_feat_out"));
                file.without_tensor("dense_2.weight")
            }),
            "bad-model",
            "dense_3.weight",
        ),
        ("causal", edited(name, |file| file.flag(&key("attention.causal"), true)), "unsupported-model", "attention.causal"),
        ("no window", edited(name, |file| file.without(&key("attention.sliding_window"))), "bad-model", "sliding_window"),
        ("a list", edited(name, |file| file.flags(&key("attention.sliding_window_pattern"), &[true])), "bad-model", "lists 1"),
        ("a third projection", edited(name, |file| file.number(&key("dense_4_feat_in"), 36)), "unsupported-model", "dense_4"),
        (
            "an expert's gate",
            edited(name, |file| file.renamed("blk.0.ffn_gate.weight", "blk.0.ffn_gate_exps.weight")),
            "unsupported-model",
            "ffn_gate_exps",
        ),
    ];
    for (what, files, code, word) in cases {
        let error = refused(files, true);
        assert!(error.code() == code && error.detail().contains(word), "{what}: {error}");
    }
    let decoder = refused(edited(name, |file| file), false);
    assert!(decoder.code() == "unsupported-model" && decoder.detail().contains("encoder"), "{decoder}");
    // A projection's tensors mean nothing to Gemma 3 as a decoder.
    let strange = edited("family-gemma3-sixth", |file| file.renamed("blk.0.ffn_gate.weight", "dense_2.weight"));
    assert_eq!(refused(strange, false).code(), "unsupported-model");
}
