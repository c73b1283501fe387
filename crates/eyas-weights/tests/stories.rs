//! A real model in three formats: they must agree. The files are a shared fixture outside of the repository; without them, this
//! prints that it was skipped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, rc::Rc};

use eyas_weights::{Checkpoint, DirectoryFiles, FileReader, ModelFiles, SourceKind, decode_rows};
use half::f16;
use pollster::block_on;

fn stories() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../shared/oracles/stories260K");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} does not exist", path.display());
    None
}

fn gguf(path: PathBuf) -> Checkpoint {
    block_on(Checkpoint::open(&ModelFiles::Gguf(Rc::new(FileReader::open(path).unwrap())))).unwrap()
}

fn weights(checkpoint: &Checkpoint, name: &str) -> Option<(SourceKind, Vec<f32>)> {
    let tensor = checkpoint.tensor(name)?;
    let bytes = block_on(checkpoint.read_rows(tensor, 0..tensor.rows())).unwrap();
    Some((tensor.kind, decode_rows(tensor.kind, &bytes, tensor.rows(), tensor.cols()).unwrap()))
}

/// Tensors by their GGUF and safetensors names; the query and key rows are left out, a GGUF file has them in another order.
fn pairs() -> Vec<(String, String)> {
    let mut pairs = vec![
        ("token_embd.weight".to_owned(), "model.embed_tokens.weight".to_owned()),
        ("output_norm.weight".to_owned(), "model.norm.weight".to_owned()),
    ];
    let parts = [
        ("attn_norm", "input_layernorm"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    for layer in 0..5 {
        pairs.extend(parts.map(|(gguf, hf)| (format!("blk.{layer}.{gguf}.weight"), format!("model.layers.{layer}.{hf}.weight"))));
    }
    pairs
}

#[test]
fn gguf_and_safetensors_agree() {
    let Some(path) = stories() else { return };
    let folder = DirectoryFiles::open(path.join("hf")).unwrap();
    let hf = block_on(Checkpoint::open(&ModelFiles::Folder(folder.into()))).unwrap();
    for file in ["stories260K-f16.gguf", "stories260K-q8_0.gguf"] {
        let checkpoint = gguf(path.join(file));
        assert_eq!(checkpoint.gguf().unwrap().get_str("general.architecture").unwrap(), Some("llama"));
        assert_eq!(checkpoint.gguf().unwrap().get_strings("tokenizer.ggml.tokens").unwrap().unwrap().len(), 512);
        let mut kinds = std::collections::BTreeMap::new();
        for (name, hf_name) in pairs() {
            let (_, expected) = weights(&hf, &hf_name).unwrap_or_else(|| panic!("{hf_name}"));
            let (kind, found) = weights(&checkpoint, &name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.len(), expected.len(), "{name}");
            *kinds.entry(kind.to_string()).or_insert(0) += 1;
            for (found, expected) in found.chunks(32).zip(expected.chunks(32)) {
                let largest = expected.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
                for (&found, &expected) in found.iter().zip(expected) {
                    match kind {
                        SourceKind::F32 => assert!(found.to_bits() == expected.to_bits(), "{name}: {found} for {expected}"),
                        SourceKind::F16 => assert!(
                            found.to_bits() == f16::from_f32(expected).to_f32().to_bits(),
                            "{name}: {found} for {expected}"
                        ),
                        // Half a step, and the f16 scale's own rounding over 127 steps.
                        _ => assert!(
                            (found - expected).abs() <= largest * (1.0 / 254.0 + 1.0 / 2048.0),
                            "{name}: {found} for {expected}"
                        ),
                    }
                }
            }
        }
        println!("{file}: {kinds:?}");
    }
}
