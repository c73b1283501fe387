//! `config.json` of a Hugging Face folder to a decoder's shape. Keys and defaults: the configuration classes of transformers.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, QkNorm};
use serde_json::Value;

use crate::{
    DecoderConfig, EncoderConfig, LayerKind, NormPlacement, Rope, RopeScaling, config_keys,
    family::{Family, supported},
    hf_family,
    token_ids::token_ids,
};

impl DecoderConfig {
    /// Reads a `config.json`. Fails with `unsupported-model` where it names an architecture or a feature that Eyas does not have, or a key that
    /// might change the computation and is not known; and with `bad-model` where a key is missing or of the wrong type.
    pub fn from_hf(config: &Value) -> Result<Self> {
        let Some(object) = config.as_object() else {
            return Err(Error::bad_model("config.json must hold a JSON object"));
        };
        config_keys::check_kind(config, object)?;
        let model_type = object.get("model_type").and_then(Value::as_str).unwrap_or_default();
        if EncoderConfig::describes(config) {
            return Err(Error::unsupported(format!(
                "config.json: model_type {model_type:?} is an encoder, which embeds and classifies texts, but writes none"
            )));
        }
        let family = Family::ALL.into_iter().find(|family| family.model_type() == model_type).ok_or_else(|| {
            let names = supported(|family| Some(family.model_type()));
            Error::unsupported(format!("config.json: model_type {model_type:?} is not supported; supported: {names}"))
        })?;
        config_keys::check(object, family)?;
        let decoder = Self::llama_like(config, family)?;
        hf_family::adapt(decoder, config, family)?.validate()
    }

    /// What all families have in common, read as Llama has it.
    fn llama_like(config: &Value, family: Family) -> Result<Self> {
        let heads = required(config, "num_attention_heads")?;
        let hidden_size = required(config, "hidden_size")?;
        let head_dim = match optional(config, "head_dim")? {
            Some(size) => size,
            None => match hf_family::default_head_dim(family) {
                Some(size) => size,
                None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
                None => {
                    return Err(Error::bad_model(format!(
                        "config.json: hidden_size ({hidden_size}) is no multiple of num_attention_heads ({heads}), and there is no head_dim"
                    )));
                }
            },
        };
        let max_position_embeddings = optional(config, "max_position_embeddings")?.unwrap_or(2048);
        let layers = required(config, "num_hidden_layers")?;
        if layers > LARGEST_LAYERS {
            return Err(Error::bad_model(format!(
                "config.json: num_hidden_layers must be at most {LARGEST_LAYERS}, found {layers}"
            )));
        }
        let norm_epsilon = number(config, "rms_norm_eps")?.unwrap_or(hf_family::default_norm_epsilon(family)) as f32;
        Ok(Self {
            architecture: family.model_type().to_owned(),
            vocab_size: required(config, "vocab_size")?,
            hidden_size,
            intermediate_size: required(config, "intermediate_size")?,
            layers: vec![LayerKind::FULL; layers],
            heads,
            kv_heads: optional(config, "num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            rotary_dim: head_dim,
            max_position_embeddings,
            norm_epsilon,
            norm_weight_offset: if family.stores_norm_differences() { 1.0 } else { 0.0 },
            norm_placement: NormPlacement::Before,
            qk_norm: QkNorm::None,
            rope: rope(config, rope_value(config), max_position_embeddings, hf_family::default_theta(family))?,
            local_rope: None,
            attention_scale: (1.0 / (head_dim as f64).sqrt()) as f32,
            attention_softcap: None,
            activation: activation(config["hidden_act"].as_str().unwrap_or("silu"))?,
            embedding_scale: if family.scales_embedding_by_width() { (hidden_size as f64).sqrt() as f32 } else { 1.0 },
            residual_multiplier: 1.0,
            logit_divisor: 1.0,
            logit_softcap: None,
            tied_embeddings: flag(config, "tie_word_embeddings")?.unwrap_or(hf_family::is_tied_by_default(family)),
            qkv_bias: flag(config, "attention_bias")?.unwrap_or(false),
            output_bias: flag(config, "attention_bias")?.unwrap_or(false),
            mlp_bias: flag(config, "mlp_bias")?.unwrap_or(false),
            bos_token_ids: token_ids(&config["bos_token_id"]),
            eos_token_ids: token_ids(&config["eos_token_id"]),
            interleaved_rope_rows: false,
        })
    }
}

/// Nothing that runs in a browser comes near this; a hostile configuration does.
const LARGEST_LAYERS: usize = 4096;

/// The object that describes rotary frequencies: transformers 5 puts theta and scaling together into `rope_parameters`.
fn rope_value(config: &Value) -> &Value {
    if config["rope_parameters"].is_object() { &config["rope_parameters"] } else { &config["rope_scaling"] }
}

/// Rotary frequencies from their object, or none where it holds one object for each kind of layer.
pub(crate) fn rope(config: &Value, rope: &Value, max_position_embeddings: usize, default_theta: f64) -> Result<Rope> {
    if rope["full_attention"].is_object() || rope["sliding_attention"].is_object() {
        return Ok(Rope::plain(default_theta)); // the family reads them
    }
    let theta = rope["rope_theta"].as_f64().or(config["rope_theta"].as_f64()).unwrap_or(default_theta);
    if let Some(partial) = rope["partial_rotary_factor"].as_f64().or(config["partial_rotary_factor"].as_f64())
        && (partial - 1.0).abs() > f64::EPSILON
        && config["model_type"] != "phi3"
    {
        return Err(Error::unsupported(format!(
            "config.json: partial_rotary_factor {partial} is not supported for this model_type"
        )));
    }
    Ok(Rope { theta, scaling: RopeScaling::from_hf(rope, max_position_embeddings)? })
}

/// The activation that a name means.
pub(crate) fn activation(name: &str) -> Result<Activation> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        other => Err(Error::unsupported(format!(
            "config.json: the activation {other:?} is not supported; supported: silu, gelu_pytorch_tanh"
        ))),
    }
}

/// A size that may be absent or null.
pub(crate) fn optional(config: &Value, key: &str) -> Result<Option<usize>> {
    match &config[key] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .map(Some)
            .ok_or_else(|| Error::bad_model(format!("config.json: {key} must be a non-negative integer, found {value}"))),
    }
}

/// A size that must be there.
pub(crate) fn required(config: &Value, key: &str) -> Result<usize> {
    optional(config, key)?.ok_or_else(|| Error::bad_model(format!("config.json: {key} is missing")))
}

/// A number that may be absent or null.
pub(crate) fn number(config: &Value, key: &str) -> Result<Option<f64>> {
    match &config[key] {
        Value::Null => Ok(None),
        value => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| Error::bad_model(format!("config.json: {key} must be a number, found {value}"))),
    }
}

/// A yes or no that may be absent or null.
pub(crate) fn flag(config: &Value, key: &str) -> Result<Option<bool>> {
    match &config[key] {
        Value::Null => Ok(None),
        value => value
            .as_bool()
            .map(Some)
            .ok_or_else(|| Error::bad_model(format!("config.json: {key} must be true or false, found {value}"))),
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
        assert_eq!(config.cache_bytes(10, 1), 2 * 2 * 10 * 20 * 4);
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
            ("attention_bias", json!("yes"), "bad-model", "attention_bias"),
            ("rms_norm_eps", json!(-1.0), "bad-model", "rms_norm_eps"),
            ("head_dim", json!(258), "unsupported-model", "head_dim"),
            ("head_dim", json!(7), "unsupported-model", "head_dim"),
            ("quantization_config", json!({"quant_method": "gptq"}), "unsupported-model", "gptq"),
            ("rope_scaling", json!({"rope_type": "spiral", "factor": 2.0}), "unsupported-model", "spiral"),
            ("rope_scaling", json!({"rope_type": "default", "mrope_section": [1]}), "unsupported-model", "mrope_section"),
            ("partial_rotary_factor", json!(0.5), "unsupported-model", "partial_rotary_factor"),
            ("num_local_experts", json!(8), "unsupported-model", "experts"),
            ("vision_config", json!({"depth": 4}), "unsupported-model", "vision"),
            ("is_encoder_decoder", json!(true), "unsupported-model", "encoder-decoder"),
            ("sliding_window", json!(512), "unsupported-model", "sliding_window"),
            ("logit_scale", json!(0.5), "unsupported-model", "logit_scale"),
            ("rope_interleaved", json!(true), "unsupported-model", "rope_interleaved"),
        ];
        for (key, value, code, word) in cases {
            let mut changed = config();
            changed[key] = value;
            let error = DecoderConfig::from_hf(&changed).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.detail().contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_harmless_or_switched_off_is_passed_over() {
        let mut changed = config();
        changed["rope_interleaved"] = json!(false);
        changed["transformers.js_config"] = json!({"dtype": "q4"});
        changed["sliding_window"] = Value::Null;
        changed["_name_or_path"] = json!("somewhere");
        assert!(DecoderConfig::from_hf(&changed).is_ok());
    }
}
