//! `config.json` of a Hugging Face folder to a decoder's shape. Keys and defaults: transformers' `LlamaConfig`.

use eyas_core::{Error, Result};
use eyas_kernels::Activation;
use serde_json::Value;

use crate::{DecoderConfig, RopeScaling};

impl DecoderConfig {
    /// Reads a `config.json`. Fails with `unsupported-model` where it names an architecture or a feature that Eyas does not have, and with
    /// `bad-model` where a key is missing or of the wrong type.
    pub fn from_hf(config: &Value) -> Result<Self> {
        let Some(object) = config.as_object() else {
            return Err(Error::bad_model("config.json must hold a JSON object"));
        };
        let architecture = object.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if architecture != "llama" {
            return Err(Error::unsupported(format!(
                "config.json: model_type {architecture:?} is not supported; supported: \"llama\" (Llama 2 and 3, SmolLM2, TinyLlama and alike)"
            )));
        }
        if object.contains_key("quantization_config") && !config["quantization_config"].is_null() {
            return Err(Error::unsupported(
                "config.json: quantization_config is not supported; use the unquantised weights and quantise while loading",
            ));
        }
        let heads = required(config, "num_attention_heads")?;
        let hidden_size = required(config, "hidden_size")?;
        let head_dim = match optional(config, "head_dim")? {
            Some(size) => size,
            None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return Err(Error::bad_model(format!(
                    "config.json: hidden_size ({hidden_size}) is no multiple of num_attention_heads ({heads}), and there is no head_dim"
                )));
            }
        };
        // transformers 5 puts theta and scaling together into rope_parameters.
        let rope = if config["rope_parameters"].is_object() { &config["rope_parameters"] } else { &config["rope_scaling"] };
        let max_position_embeddings = optional(config, "max_position_embeddings")?.unwrap_or(2048);
        let rope_theta = rope["rope_theta"].as_f64().or(config["rope_theta"].as_f64()).unwrap_or(10_000.0);
        if let Some(partial) = rope["partial_rotary_factor"].as_f64().or(config["partial_rotary_factor"].as_f64())
            && (partial - 1.0).abs() > f64::EPSILON
        {
            return Err(Error::unsupported(format!("config.json: partial_rotary_factor {partial} is not supported")));
        }
        Self {
            architecture,
            vocab_size: required(config, "vocab_size")?,
            hidden_size,
            intermediate_size: required(config, "intermediate_size")?,
            layers: required(config, "num_hidden_layers")?,
            heads,
            kv_heads: optional(config, "num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            max_position_embeddings,
            norm_epsilon: config["rms_norm_eps"].as_f64().unwrap_or(1e-6) as f32,
            rope_theta,
            rope_scaling: RopeScaling::from_hf(rope, max_position_embeddings)?,
            activation: activation(config["hidden_act"].as_str().unwrap_or("silu"))?,
            tied_embeddings: flag(config, "tie_word_embeddings"),
            attention_bias: flag(config, "attention_bias"),
            mlp_bias: flag(config, "mlp_bias"),
            bos_token_ids: ids(&config["bos_token_id"]),
            eos_token_ids: ids(&config["eos_token_id"]),
            interleaved_rope_rows: false,
        }
        .validate()
        .map_err(|error| error.context("config.json"))
    }
}

fn activation(name: &str) -> Result<Activation> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        other => Err(Error::unsupported(format!(
            "config.json: hidden_act {other:?} is not supported; supported: silu, gelu_pytorch_tanh"
        ))),
    }
}

fn optional(config: &Value, key: &str) -> Result<Option<usize>> {
    match &config[key] {
        Value::Null => Ok(None),
        value => match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::bad_model(format!("config.json: {key} must be a whole number, found {value}"))),
        },
    }
}

fn required(config: &Value, key: &str) -> Result<usize> {
    optional(config, key)?.ok_or_else(|| Error::bad_model(format!("config.json: {key} is missing")))
}

fn flag(config: &Value, key: &str) -> bool {
    config[key].as_bool().unwrap_or(false)
}

/// A token id, or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(id).collect(),
        single => id(single).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 60, "intermediate_size": 91, "num_hidden_layers": 2, "num_attention_heads": 6,
            "num_key_value_heads": 2, "vocab_size": 131, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "eos_token_id": [2, 3]
        })
    }

    #[test]
    fn defaults_follow_the_reference() {
        let config = DecoderConfig::from_hf(&config()).unwrap();
        assert_eq!((config.head_dim, config.kv_heads), (10, 2));
        assert!(!config.tied_embeddings);
        assert_eq!(config.eos_token_ids, [2, 3]);
        assert_eq!(config.cache_bytes(10), 2 * 2 * 10 * 20 * 4);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let cases = [
            ("model_type", json!("mamba"), "unsupported-model", "mamba"),
            ("hidden_size", Value::Null, "bad-model", "hidden_size"),
            ("hidden_size", json!("big"), "bad-model", "hidden_size"),
            ("num_key_value_heads", json!(4), "bad-model", "num_key_value_heads"),
            ("num_hidden_layers", json!(1_u64 << 62), "bad-model", "num_hidden_layers"),
            ("hidden_act", json!("relu"), "unsupported-model", "relu"),
            ("quantization_config", json!({"quant_method": "gptq"}), "unsupported-model", "quantization_config"),
            ("rope_scaling", json!({"rope_type": "spiral", "factor": 2.0}), "unsupported-model", "spiral"),
        ];
        for (key, value, code, word) in cases {
            let mut changed = config();
            changed[key] = value;
            let error = DecoderConfig::from_hf(&changed).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.detail().contains(word), "{error}");
        }
    }
}
