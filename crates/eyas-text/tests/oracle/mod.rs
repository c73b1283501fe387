//! Where shared reference files are, and a reader for the vocabulary in a GGUF file. Not a test itself.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{collections::HashMap, fs, path::PathBuf};

use eyas_text::{GgufVocab, merge_pair};

/// The folder of reference files, or none, which is said.
pub fn oracles(sub: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../shared/oracles").join(sub);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference files at {}", folder.display());
    None
}

/// The folder of this repository's goldens for text.
pub fn goldens() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/goldens/text")
}

/// A metadata value, as far as vocabularies need it.
#[derive(Debug, Clone)]
enum Meta {
    Number(f64),
    Text(String),
    List(Vec<Meta>),
}

struct Reader(Vec<u8>, usize);

impl Reader {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.0[self.1..self.1 + N].try_into().unwrap();
        self.1 += N;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let len = self.u64() as usize;
        self.1 += len;
        String::from_utf8_lossy(&self.0[self.1 - len..self.1]).into_owned()
    }

    fn meta(&mut self, kind: u32) -> Meta {
        match kind {
            0 | 7 => Meta::Number(f64::from(self.take::<1>()[0])),
            1 => Meta::Number(f64::from(i8::from_le_bytes(self.take()))),
            2 => Meta::Number(f64::from(u16::from_le_bytes(self.take()))),
            3 => Meta::Number(f64::from(i16::from_le_bytes(self.take()))),
            4 => Meta::Number(f64::from(self.u32())),
            5 => Meta::Number(f64::from(i32::from_le_bytes(self.take()))),
            6 => Meta::Number(f64::from(f32::from_le_bytes(self.take()))),
            8 => Meta::Text(self.text()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                Meta::List((0..count).map(|_| self.meta(kind)).collect())
            }
            10 | 11 => Meta::Number(self.u64() as f64),
            12 => Meta::Number(f64::from_le_bytes(self.take())),
            kind => panic!("unknown metadata type {kind}"),
        }
    }
}

/// The vocabulary in a GGUF file.
pub fn gguf_vocab(path: &std::path::Path) -> GgufVocab {
    let mut reader = Reader(fs::read(path).unwrap(), 0);
    assert_eq!(&reader.take::<4>(), b"GGUF");
    let _version = reader.u32();
    let _tensors = reader.u64();
    let count = reader.u64();
    let mut meta = HashMap::new();
    for _ in 0..count {
        let key = reader.text();
        let kind = reader.u32();
        meta.insert(key, reader.meta(kind));
    }
    let get = |key: &str| meta.get(&format!("tokenizer.ggml.{key}")).cloned();
    let text = |key: &str| get(key).map(|value| if let Meta::Text(text) = value { text } else { panic!("{key}") });
    let number = |key: &str| get(key).map(|value| if let Meta::Number(number) = value { number } else { panic!("{key}") });
    let list = |key: &str| get(key).map(|value| if let Meta::List(list) = value { list } else { panic!("{key}") });
    let texts = |key: &str| -> Option<Vec<String>> {
        list(key).map(|list| list.into_iter().map(|item| if let Meta::Text(text) = item { text } else { panic!() }).collect())
    };
    let numbers = |key: &str| -> Option<Vec<f64>> {
        list(key)
            .map(|list| list.into_iter().map(|item| if let Meta::Number(number) = item { number } else { panic!() }).collect())
    };
    GgufVocab {
        model: text("model").unwrap(),
        pre: text("pre"),
        tokens: texts("tokens").unwrap(),
        scores: numbers("scores").map(|scores| scores.into_iter().map(|score| score as f32).collect()),
        token_types: numbers("token_type").map(|types| types.into_iter().map(|kind| kind as i32).collect()),
        merges: texts("merges").map(|merges| merges.iter().map(|merge| merge_pair(merge).unwrap()).collect()),
        bos_id: number("cls_token_id").or(number("bos_token_id")).map(|id| id as u32),
        eos_id: number("seperator_token_id").or(number("eos_token_id")).map(|id| id as u32),
        unk_id: number("unknown_token_id").map(|id| id as u32),
        add_bos: number("add_bos_token").map(|flag| flag != 0.0),
        add_eos: number("add_eos_token").map(|flag| flag != 0.0),
        add_space_prefix: number("add_space_prefix").map(|flag| flag != 0.0),
        remove_extra_whitespaces: number("remove_extra_whitespaces").map(|flag| flag != 0.0),
        charsmap: numbers("precompiled_charsmap").map(|bytes| bytes.into_iter().map(|byte| byte as i64 as u8).collect()),
    }
}
