//! GGUF files, whole, truncated and wrong, through the public face.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model_bytes;

use eyas_weights::{Checkpoint, Format, GgufArray, MemoryFiles, ModelFiles, SourceKind};
use model_bytes::{Gguf, array, open_gguf, string, tensor, value};
use pollster::block_on;

#[test]
fn metadata_and_tensors_are_read() {
    let good = Gguf::good();
    let checkpoint = open_gguf(good.bytes()).unwrap();
    assert_eq!(checkpoint.format(), Format::Gguf);
    let metadata = checkpoint.gguf().unwrap();
    assert_eq!(metadata.version(), 3);
    assert_eq!(metadata.get_str("general.architecture").unwrap(), Some("llama"));
    assert_eq!(metadata.get_u64("llama.block_count").unwrap(), Some(5));
    assert_eq!(metadata.get_f32("llama.rope.freq_base").unwrap(), Some(10_000.0));
    assert_eq!(metadata.get_strings("tokenizer.ggml.tokens").unwrap().unwrap(), ["<s>", "", "é"]);
    assert_eq!(metadata.get_f32s("tokenizer.ggml.scores").unwrap(), Some(vec![0.0, 0.0]));
    assert_eq!(metadata.get_bool("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
    assert_eq!(metadata.get_array("nested").unwrap(), Some(&GgufArray::Arrays(vec![GgufArray::U32(vec![1, 2])])));

    let embed = checkpoint.tensor("token_embd.weight").unwrap();
    assert_eq!((embed.kind, embed.shape.as_slice(), embed.bytes), (SourceKind::Q8_0, &[3, 32][..], 102));
    let q = checkpoint.tensor("blk.0.attn_q.weight").unwrap();
    assert_eq!((q.kind, q.shape.as_slice(), q.rows(), q.cols()), (SourceKind::F16, &[2, 2, 6][..], 4, 6));
    for tensor in checkpoint.tensors() {
        // Each tensor's bytes count up from 0.
        let bytes = block_on(checkpoint.read_rows(tensor, 0..tensor.rows())).unwrap();
        assert!(bytes.iter().enumerate().all(|(index, &byte)| byte == index as u8), "{tensor:?}");
        assert_eq!(bytes.len() as u64, tensor.bytes);
    }
    let version_2 = open_gguf(Gguf { version: 2, ..good }.bytes()).unwrap();
    assert_eq!(version_2.tensors(), checkpoint.tensors());
}

#[test]
fn alignment_moves_the_data() {
    for alignment in [8u32, 24, 64, 4096] {
        let mut file = Gguf::good().with("general.alignment", value(4, &alignment.to_le_bytes()));
        file.alignment = alignment as usize;
        let checkpoint = open_gguf(file.bytes()).unwrap();
        let norm = checkpoint.tensor("output_norm.weight").unwrap();
        assert_eq!(norm.offset % u64::from(alignment), 0);
        assert_eq!(block_on(checkpoint.read_rows(norm, 0..1)).unwrap()[..3], [0, 1, 2]);
    }
    for alignment in [0u32, 4, 12, 65_544] {
        let error = open_gguf(Gguf::good().with("general.alignment", value(4, &alignment.to_le_bytes())).bytes()).unwrap_err();
        assert!(error.code() == "bad-model" && error.detail().contains(&format!("found {alignment};")), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let with_tensor = |tensor| {
        let mut file = Gguf::good();
        file.tensors.push(tensor);
        file.bytes()
    };
    let at = |offset| model_bytes::GgufTensor { offset: Some(offset), ..tensor("t", &[8], 0, 32) };
    let with_counts = |tensors: u64, values: u64| {
        let mut file = Gguf::good().bytes();
        file[8..16].copy_from_slice(&tensors.to_le_bytes());
        file[16..24].copy_from_slice(&values.to_le_bytes());
        file
    };
    let with = |key: &str, value: Vec<u8>| Gguf::good().with(key, value).bytes();
    let mut deep = [&4u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat();
    for _ in 0..4 {
        deep = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes(), &deep].concat();
    }
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (vec![], "bad-model", "empty file"),
        (b"\n\n<html>".to_vec(), "bad-model", "HTML page"),
        (b"lmgg0000".to_vec(), "bad-model", "lmgg0000"),
        (b"GGUF".to_vec(), "bad-model", "4 bytes of the version at byte 4, found a file of 4 bytes"),
        (Gguf { version: 1, ..Gguf::good() }.bytes(), "unsupported-model", "found 1"),
        (Gguf { version: 4, ..Gguf::good() }.bytes(), "unsupported-model", "found 4"),
        (Gguf { version: 3 << 24, ..Gguf::good() }.bytes(), "unsupported-model", "big-endian"),
        (with_counts(u64::MAX, 7), "bad-model", "tensors, found 18446744073709551615"),
        (with_counts(65_000, 7), "bad-model", "expected 65000 tensors"),
        (with_counts(4, 65_000), "bad-model", "expected 65000 metadata values"),
        (with("split.count", value(2, &[3, 0])), "bad-model", "found part 1 of 3"),
        (with("nested", value(7, &[1])), "bad-model", r#""nested" twice"#),
        (with("x", value(7, &[2])), "bad-model", r#"GGUF metadata "x": expected a boolean"#),
        (with("x", value(99, &[])), "bad-model", "found 99"),
        (with("x", value(8, &u64::MAX.to_le_bytes())), "bad-model", "found one of 18446744073709551615"),
        (with("x", array(8, 1, &string(b"\xFF"))), "bad-model", "UTF-8"),
        (with("x", array(6, 1 << 62, &[])), "bad-model", "4611686018427387904 numbers"),
        (with("x", value(9, &deep)), "bad-model", "4 deep"),
        (with_tensor(tensor("t", &[256], 18, 98)), "unsupported-model", r#"tensor "t": expected the type"#),
        (with_tensor(tensor("t", &[256], 23, 136)), "unsupported-model", "found IQ4_XS"),
        (with_tensor(tensor("t", &[288], 12, 162)), "bad-model", "multiple of 256"),
        (with_tensor(tensor("t", &[256], 99, 210)), "unsupported-model", "the unknown type 99"),
        (with_tensor(tensor("t", &[33], 8, 34)), "bad-model", "multiple of 32"),
        (with_tensor(tensor("t", &[1; 9], 0, 4)), "bad-model", "8 axes, found 9"),
        (with_tensor(tensor("t", &[u64::MAX, u64::MAX], 0, 4)), "bad-model", "shape"),
        (with_tensor(tensor("t", &[9], 0, 32)), "bad-model", "truncated"),
        (with_tensor(tensor("output_norm.weight", &[8], 0, 32)), "bad-model", "expected it once"),
        (with_tensor(at(0)), "bad-model", "share no bytes"),
        (with_tensor(at(448)), "bad-model", "truncated"),
        (with_tensor(at(4)), "bad-model", "multiple of 32, found 4"),
        (with_tensor(at(u64::MAX - 31)), "bad-model", "truncated"),
    ];
    for (file, code, part) in cases {
        let error = open_gguf(file).unwrap_err();
        assert!(error.code() == code && error.detail().contains(part), "expected {code} with {part:?}, found {error}");
    }
}

#[test]
fn a_tokenizer_of_300_000_tokens_is_read_across_several_reads() {
    let tokens: Vec<u8> = (0..300_000).flat_map(|token| string(format!("token {token}").as_bytes())).collect();
    let file = Gguf::good().with("tokens", array(8, 300_000, &tokens)).bytes();
    assert!(file.len() > 5 << 20);
    let start = std::time::Instant::now();
    let checkpoint = open_gguf(file).unwrap();
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    let tokens = checkpoint.gguf().unwrap().get_strings("tokens").unwrap().unwrap();
    assert_eq!((tokens.len(), tokens[299_999]), (300_000, "token 299999"));
    assert_eq!(checkpoint.tensors().len(), 4);
}

#[test]
fn a_truncated_file_is_an_error() {
    let file = Gguf::good().bytes();
    for length in 0..file.len() {
        let error = open_gguf(file[..length].to_vec()).unwrap_err();
        assert_eq!(error.code(), "bad-model", "{length}: {error}");
    }
    // Without tensors, the padding after the header may be missing.
    let empty = Gguf { tensors: vec![], ..Gguf::good() };
    assert!(open_gguf(empty.bytes()).unwrap().tensors().is_empty());
}

/// The files of a model split in two, with these metadata in the second.
fn two_parts(second: &[(&str, u16)]) -> Vec<(String, Vec<u8>)> {
    let number = |number: u16| value(2, &number.to_le_bytes());
    let mut first =
        Gguf::good().with("split.no", number(0)).with("split.count", number(2)).with("split.tensors.count", number(4));
    let mut rest = Gguf { values: vec![], tensors: first.tensors.split_off(2), ..Gguf::good() };
    for (key, number) in second {
        rest = rest.with(key, value(2, &number.to_le_bytes()));
    }
    vec![("m-00001-of-00002.gguf".to_owned(), first.bytes()), ("m-00002-of-00002.gguf".to_owned(), rest.bytes())]
}

#[test]
fn parts_are_one_checkpoint() {
    let open = |files: Vec<(String, Vec<u8>)>, name: &str| {
        let files = MemoryFiles::new(files);
        block_on(async { Checkpoint::open(&ModelFiles::open_gguf(&files, name).await?).await })
    };
    let good = || two_parts(&[("split.no", 1), ("split.count", 2)]);
    for name in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"] {
        let split = open(good(), name).unwrap();
        let whole = open_gguf(Gguf::good().bytes()).unwrap();
        assert_eq!(split.gguf().unwrap().get_str("general.architecture").unwrap(), Some("llama"));
        assert_eq!(split.tensors().len(), 4);
        for tensor in whole.tensors() {
            let part = split.tensor(&tensor.name).unwrap();
            let read = |checkpoint: &Checkpoint, tensor| block_on(checkpoint.read_rows(tensor, 0..tensor.rows())).unwrap();
            assert_eq!(read(&split, part), read(&whole, tensor));
        }
    }
    let mut missing = good();
    missing.pop();
    let first = good().remove(0).1;
    let cases = [
        (missing, "model-not-found", "m-00002-of-00002.gguf"),
        (vec![good().remove(0), ("m-00002-of-00002.gguf".to_owned(), first)], "bad-model", "expected part 2 of 2, found part 1"),
        (two_parts(&[("split.no", 1), ("split.count", 3)]), "bad-model", "found part 2 of 3"),
        (two_parts(&[]), "bad-model", "found part 1 of 1"),
    ];
    for (files, code, part) in cases {
        let error = open(files, "m-00001-of-00002.gguf").unwrap_err();
        assert!(error.code() == code && error.detail().contains(part), "expected {code} with {part:?}, found {error}");
    }
    let mut short = good();
    short[1].1 = Gguf { values: vec![], tensors: vec![], ..Gguf::good() }
        .with("split.no", value(2, &[1, 0]))
        .with("split.count", value(2, &[2, 0]))
        .bytes();
    let error = open(short, "m-00001-of-00002.gguf").unwrap_err();
    assert!(error.detail().contains("expected 4 tensors in all parts together, found 2"), "{error}");
}
