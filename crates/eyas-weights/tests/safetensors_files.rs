//! Safetensors files, whole, sharded, truncated and wrong, through the public face.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model_bytes;

use eyas_core::Error;
use eyas_weights::{Format, SourceKind};
use model_bytes::{good_safetensors, open_folder, open_safetensors, safetensors};
use pollster::block_on;

fn check(error: &Error, code: &str, part: &str) {
    assert!(error.code() == code && error.detail().contains(part), "expected {code} with {part:?}, found {error}");
}

#[test]
fn tensors_come_in_the_order_of_their_data() {
    let file = good_safetensors();
    let checkpoint = open_safetensors(file.clone()).unwrap();
    assert_eq!((checkpoint.format(), checkpoint.total_bytes()), (Format::Safetensors, file.len() as u64));
    let names: Vec<_> = checkpoint.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["model.norm.weight", "model.embed.weight", "scalar", "empty"]);
    assert_eq!(checkpoint.buffers(), ["model.position_ids"]);
    let embed = checkpoint.tensor("model.embed.weight").unwrap();
    assert_eq!((embed.kind, embed.rows(), embed.cols(), embed.bytes), (SourceKind::Bf16, 4, 6, 48));
    // Data bytes count up from 0: rows 1 and 2 of 12 bytes each begin at 64 + 12.
    let rows = block_on(checkpoint.read_rows(embed, 1..3)).unwrap();
    assert_eq!(rows, (76..100).collect::<Vec<u8>>());
    assert!(block_on(checkpoint.read_rows(embed, 4..4)).unwrap().is_empty());
    assert_eq!(block_on(checkpoint.read_rows(embed, 3..5)).unwrap_err().code(), "internal");
    let scalar = checkpoint.tensor("scalar").unwrap();
    assert_eq!((scalar.rows(), scalar.cols()), (1, 1));
}

#[test]
fn what_is_wrong_is_named() {
    let t = |dtype: &str, shape: &str, offsets: &str| {
        safetensors(&format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), 16)
    };
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (vec![], "bad-model", "empty file"),
        (vec![1, 2, 3], "bad-model", "found 3"),
        (b"<!DOCTYPE html><html></html>".to_vec(), "bad-model", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "bad-model", "Git LFS"),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "bad-model", "found a length of 18446744073709551615"),
        (safetensors("{", 0), "bad-model", "JSON"),
        (safetensors("[]", 0), "bad-model", "an object"),
        (safetensors(&"[".repeat(9999), 0), "bad-model", "an object"),
        (safetensors(&format!(r#"{{"__metadata__":{}"#, "[".repeat(9999)), 0), "bad-model", "EOF while parsing"),
        (safetensors(r#"{"t":{"dtype":"F32","shape":[4]}}"#, 16), "bad-model", "data_offsets"),
        (safetensors(r#"{"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16,32]}}"#, 16), "bad-model", "JSON"),
        (
            t("Q7", "[4]", "[0,16]"),
            "unsupported-model",
            r#"tensor "t": expected the dtype F32, F16, BF16 or F8_E4M3, found "Q7""#,
        ),
        (t("U8", "[16]", "[0,16]"), "unsupported-model", "U8"),
        (t("F32", "[4]", "[0,12]"), "bad-model", "expected 16 bytes for the shape [4] in F32, found 12"),
        (t("F32", "[8]", "[0,32]"), "bad-model", "within 16 bytes"),
        (t("F32", "[4]", "[16,0]"), "bad-model", "from 16 to 0"),
        (t("F32", "[-4]", "[0,16]"), "bad-model", "JSON"),
        (t("F32", "[4.5]", "[0,16]"), "bad-model", "JSON"),
        (t("F32", "[4294967296,4294967296]", "[0,16]"), "bad-model", "shape"),
        (t("F32", "[18446744073709551615,18446744073709551615,0]", "[0,0]"), "bad-model", "shape"),
        (t("F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]"), "bad-model", "8 axes"),
        (t("I64", "[3]", "[0,16]"), "bad-model", "expected 24 bytes"),
        (
            safetensors(
                r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            "bad-model",
            r#""t" twice"#,
        ),
        (
            safetensors(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            "bad-model",
            "share no bytes",
        ),
        (
            safetensors(&format!(r#"{{"{}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#, "n".repeat(70_000)), 4),
            "bad-model",
            "found one of 70000",
        ),
    ];
    for (file, code, part) in cases {
        check(&open_safetensors(file).unwrap_err(), code, part);
    }
}

#[test]
fn a_long_header_is_read_to_its_end() {
    let json = format!(r#"{{"t":{{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}}}{}"#, " ".repeat(300_000));
    let checkpoint = open_safetensors(safetensors(&json, 6)).unwrap();
    assert_eq!(checkpoint.tensors()[0].offset, 8 + json.len() as u64);
}

#[test]
fn no_weights_is_not_found_and_says_what_was_looked_for() {
    let error = open_folder(&[("config.json", vec![])]).unwrap_err();
    check(&error, "model-not-found", "model.safetensors.index.json");
    check(&error, "model-not-found", "in model.safetensors or");
}

#[test]
fn shards_are_one_checkpoint() {
    let one = |name: &str| safetensors(&format!(r#"{{"{name}":{{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}}}"#), 4);
    let index = |map: &str| ("model.safetensors.index.json", format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#).into_bytes());
    let both = index(r#"{"b":"1.safetensors","a":"2.safetensors"}"#);

    let checkpoint = open_folder(&[both.clone(), ("1.safetensors", one("b")), ("2.safetensors", one("a"))]).unwrap();
    let places: Vec<_> = checkpoint.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor.file)).collect();
    assert_eq!(places, [("b", 0), ("a", 1)]);
    assert_eq!(checkpoint.total_bytes(), 2 * one("a").len() as u64);
    assert_eq!(block_on(checkpoint.read_rows(checkpoint.tensor("a").unwrap(), 0..1)).unwrap(), [0, 1, 2, 3]);

    let missing = open_folder(&[both.clone(), ("1.safetensors", one("b"))]).unwrap_err();
    check(&missing, "model-not-found", "2.safetensors");
    let absent = open_folder(&[both.clone(), ("1.safetensors", one("b")), ("2.safetensors", one("c"))]).unwrap_err();
    check(&absent, "bad-model", r#"tensor "a": expected it in 2.safetensors"#);
    let swapped = open_folder(&[both.clone(), ("1.safetensors", one("a")), ("2.safetensors", one("b"))]).unwrap_err();
    check(&swapped, "bad-model", "found it in 1.safetensors");
    let twice = open_folder(&[both, ("1.safetensors", one("a")), ("2.safetensors", one("a"))]).unwrap_err();
    check(&twice, "bad-model", "found it in 1.safetensors and in 2.safetensors");
    check(&open_folder(&[index(r#"{"a":"../a"}"#)]).unwrap_err(), "bad-model", "../a");
    check(&open_folder(&[index("[]")]).unwrap_err(), "bad-model", "weight_map");
    let buffer = safetensors(r#"{"p":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, 8);
    assert!(open_folder(&[index(r#"{"p":"1.safetensors"}"#), ("1.safetensors", buffer)]).is_ok());
}

#[test]
fn a_truncated_file_is_an_error_unless_no_tensor_misses_a_byte() {
    let file = good_safetensors();
    let whole = open_safetensors(file.clone()).unwrap();
    for length in 0..file.len() {
        match open_safetensors(file[..length].to_vec()) {
            Ok(checkpoint) => assert_eq!(checkpoint.tensors(), whole.tensors(), "{length}"),
            Err(error) => assert_eq!(error.code(), "bad-model", "{length}: {error}"),
        }
    }
}
