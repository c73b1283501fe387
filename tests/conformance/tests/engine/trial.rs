//! A model that was just loaded is tried: what it answers is what its manifest says, or it is refused.

use conformance::{Loading, repository};
use eyas_core::Quantize;
use eyas_engine::{ExpectedTokens, certain_tokens, try_answer};
use eyas_weights::{MemoryFiles, ModelFiles};
use pollster::block_on;

const PROMPT: &str = "play some jazz";

#[test]
fn certain_tokens_are_found_again_and_others_are_refused() {
    let engine = Loading::default().load(&repository().join("www/eyas/models/eyas-nano"));
    let ids = block_on(certain_tokens(&engine, PROMPT, 8)).unwrap();
    assert!(!ids.is_empty() && ids.len() <= 8);
    block_on(try_answer(&engine, None)).unwrap();
    block_on(try_answer(&engine, Some(ExpectedTokens { prompt: PROMPT, ids: &ids }))).unwrap();
    let mut others = ids.clone();
    others[0] ^= 1;
    let error = block_on(try_answer(&engine, Some(ExpectedTokens { prompt: PROMPT, ids: &others }))).unwrap_err();
    assert_eq!(error.code(), "bad-model", "{error}");
    // A little error in the weights does not move what is certain.
    let coarser = Loading::default().quantized(Quantize::Q8).load(&repository().join("www/eyas/models/eyas-nano"));
    assert_eq!(block_on(certain_tokens(&coarser, PROMPT, 1)).unwrap().first(), ids.first());
}

#[test]
fn a_model_of_damaged_weights_is_refused_though_it_loads() {
    let folder = repository().join("www/eyas/models/eyas-nano");
    let mut files = Vec::new();
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        if name == "model.safetensors" {
            let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
            let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
            let at = tensors["model.norm.weight"]["data_offsets"].as_array().unwrap();
            let at = |end: usize| 8 + header + usize::try_from(at[end].as_u64().unwrap()).unwrap();
            bytes[at(0)..at(1)].fill(0xff);
        }
        files.push((name.to_owned(), bytes));
    }
    let engine = Loading::default().try_load(ModelFiles::Folder(std::rc::Rc::new(MemoryFiles::new(files)))).unwrap();
    let error = block_on(try_answer(&engine, None)).unwrap_err();
    assert_eq!(error.code(), "bad-model", "{error}");
}
