//! Writes model files, good ones and bad ones.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::rc::Rc;

use eyas_core::Result;
use eyas_weights::{Checkpoint, MemoryFiles, MemoryReader, ModelFiles};
use pollster::block_on;

/// A safetensors file with this JSON as its header and this much data.
pub fn safetensors(json: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.extend((0..data_bytes).map(|byte| byte as u8));
    file
}

/// A safetensors file with tensors of several kinds, a hole and metadata.
pub fn good_safetensors() -> Vec<u8> {
    let json = r#"{"__metadata__":{"format":"pt","dtype":"x"},
        "model.embed.weight":{"dtype":"BF16","shape":[4,6],"data_offsets":[64,112]},
        "model.norm.weight":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},
        "model.position_ids":{"dtype":"I64","shape":[1,5],"data_offsets":[24,64]},
        "scalar":{"dtype":"F16","shape":[],"data_offsets":[120,122]},
        "empty":{"dtype":"F32","shape":[0,3],"data_offsets":[122,122]}}   "#;
    safetensors(json, 122)
}

/// What a GGUF file is written from.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    pub values: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<GgufTensor>,
    pub alignment: usize,
}

/// A tensor, its axes innermost first; its offset follows from the ones before it.
#[derive(Clone)]
pub struct GgufTensor {
    pub name: String,
    pub axes: Vec<u64>,
    pub type_id: u32,
    pub data: Vec<u8>,
    /// Instead of the offset that follows.
    pub offset: Option<u64>,
}

/// A GGUF string.
pub fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

/// A value with its type.
pub fn value(type_id: u32, payload: &[u8]) -> Vec<u8> {
    [&type_id.to_le_bytes()[..], payload].concat()
}

/// An array value.
pub fn array(type_id: u32, count: u64, payload: &[u8]) -> Vec<u8> {
    value(9, &[&type_id.to_le_bytes()[..], &count.to_le_bytes(), payload].concat())
}

/// A tensor with this many bytes of data.
pub fn tensor(name: &str, axes: &[u64], type_id: u32, data_bytes: usize) -> GgufTensor {
    let data = (0..data_bytes).map(|byte| byte as u8).collect();
    GgufTensor { name: name.to_owned(), axes: axes.to_vec(), type_id, data, offset: None }
}

impl Gguf {
    /// A file with values of several types and tensors of several kinds.
    pub fn good() -> Self {
        let tokens: Vec<u8> = ["<s>", "", "é"].iter().flat_map(|token| string(token.as_bytes())).collect();
        let nested = [4u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), vec![1, 0, 0, 0, 2, 0, 0, 0]].concat();
        let values = [
            ("general.architecture", value(8, &string(b"llama"))),
            ("llama.block_count", value(4, &5u32.to_le_bytes())),
            ("llama.rope.freq_base", value(6, &10_000f32.to_le_bytes())),
            ("tokenizer.ggml.tokens", array(8, 3, &tokens)),
            ("tokenizer.ggml.scores", array(6, 2, &[0; 8])),
            ("tokenizer.ggml.add_bos_token", value(7, &[1])),
            ("nested", array(9, 1, &nested)),
        ];
        Self {
            magic: *b"GGUF",
            version: 3,
            values: values.map(|(key, value)| (key.to_owned(), value)).into(),
            tensors: vec![
                tensor("token_embd.weight", &[32, 3], 8, 102),
                tensor("output_norm.weight", &[32], 0, 128),
                tensor("blk.0.ffn_up.weight", &[64, 2], 2, 72),
                tensor("blk.0.attn_q.weight", &[6, 2, 2], 1, 48),
            ],
            alignment: 32,
        }
    }

    /// The same with one more value.
    pub fn with(mut self, key: &str, value: Vec<u8>) -> Self {
        self.values.push((key.to_owned(), value));
        self
    }

    /// The header alone, without padding.
    pub fn header(&self) -> Vec<u8> {
        let mut file = self.magic.to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.values.len() as u64).to_le_bytes());
        for (key, value) in &self.values {
            file.extend(string(key.as_bytes()));
            file.extend(value);
        }
        let mut next = 0;
        for tensor in &self.tensors {
            file.extend(string(tensor.name.as_bytes()));
            file.extend((tensor.axes.len() as u32).to_le_bytes());
            file.extend(tensor.axes.iter().flat_map(|axis| axis.to_le_bytes()));
            file.extend(tensor.type_id.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(next as u64).to_le_bytes());
            next += tensor.data.len().next_multiple_of(self.alignment);
        }
        file
    }

    /// The whole file; what pads the last tensor is left out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = self.header();
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
            file.extend(&tensor.data);
        }
        file
    }
}

/// Opens a folder with these files.
pub fn open_folder(files: &[(&str, Vec<u8>)]) -> Result<Checkpoint> {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    block_on(Checkpoint::open(&ModelFiles::Folder(MemoryFiles::new(files).into())))
}

/// Opens a folder with this `model.safetensors`.
pub fn open_safetensors(bytes: Vec<u8>) -> Result<Checkpoint> {
    open_folder(&[("model.safetensors", bytes)])
}

/// Opens this GGUF file.
pub fn open_gguf(bytes: Vec<u8>) -> Result<Checkpoint> {
    block_on(Checkpoint::open(&ModelFiles::Gguf(Rc::new(MemoryReader::new("model.gguf", bytes)))))
}
