//! Which keys of `config.json` may be there: what is not known might change the computation, and is refused.

use eyas_core::{Error, Result};
use serde_json::{Map, Value};

use crate::{Fp8Config, family::Family};

/// What every family reads.
const READ: [&str; 18] = [
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "quantization_config",
];

/// What says how a model was trained, stored or is to be sampled, but not what it computes.
const HARMLESS: [&str; 45] = [
    "architectures",
    "attention_dropout",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "do_sample",
    "dtype",
    "embd_pdrop",
    "finetuning_task",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "license",
    "max_length",
    "max_new_tokens",
    "min_length",
    "model_max_length",
    "name_or_path",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "quantization",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "transformers_version",
    "typical_p",
    "use_cache",
];

/// Fails with `unsupported-model` where `config.json` has a key that the family does not know and that is not switched off.
pub(crate) fn check(config: &Map<String, Value>, family: Family) -> Result<()> {
    check_known(config, family.model_type(), &[&READ, family.own_keys()])
}

/// The same for whatever has such a `model_type` and reads the keys in `known`.
pub(crate) fn check_known(config: &Map<String, Value>, model_type: &str, known: &[&[&str]]) -> Result<()> {
    for (key, value) in config {
        let name = key.as_str();
        let is_known = HARMLESS.contains(&name) || known.iter().any(|keys| keys.contains(&name));
        let is_private = name.starts_with('_') || name.starts_with("transformers") || name.starts_with("unsloth");
        let is_off = matches!(value, Value::Null | Value::Bool(false));
        if !(is_known || is_private || is_off) {
            return Err(Error::unsupported(format!(
                "config.json: {key:?} ({value}) is not known for model_type {model_type:?} and might change what the model computes"
            )));
        }
    }
    Ok(())
}

/// Fails with `unsupported-model` where `config.json` describes something other than a plain decoder or encoder, whatever its family.
pub(crate) fn check_kind(config_value: &Value, config: &Map<String, Value>) -> Result<()> {
    let is_there = |key: &&&str| config.get(**key).is_some_and(|value| !value.is_null());
    if let Some(key) = ["num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"].iter().find(is_there) {
        return Err(Error::unsupported(format!("config.json: mixtures of experts are not supported ({key})")));
    }
    if let Some(key) = ["vision_config", "vision_tower", "audio_config", "mm_vision_tower"].iter().find(is_there) {
        return Err(Error::unsupported(format!("config.json: models with a vision or audio tower are not supported ({key})")));
    }
    if config.get("is_encoder_decoder").is_some_and(|value| value == true) {
        return Err(Error::unsupported("config.json: encoder-decoder models are not supported (is_encoder_decoder)"));
    }
    // 8-bit floats are read; every other way of quantising is refused there.
    Fp8Config::from_hf(config_value)?;
    Ok(())
}
