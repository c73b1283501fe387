//! What ModernBERT's `config.json` says besides what BERT's says (arXiv 2412.13663). Keys and defaults: the configuration class of transformers.

use eyas_core::{Error, Result};
use serde_json::Value;

use crate::{
    EncoderConfig, LayerKind, LayerRope, Pooling, Rope, RopeScaling,
    config_hf::{flag, number, optional},
    encoder_config::{EncoderBiases, activation},
};

/// Turns what is read as BERT's into ModernBERT's own.
pub(crate) fn adapt(encoder: &mut EncoderConfig, config: &Value) -> Result<()> {
    let bias = |key: &str| Ok::<_, Error>(flag(config, key)?.unwrap_or(false));
    encoder.biases = EncoderBiases {
        attention: bias("attention_bias")?,
        mlp: bias("mlp_bias")?,
        norms: bias("norm_bias")?,
        head_dense: bias("classifier_bias")?,
    };
    encoder.norm_epsilon = number(config, "norm_eps")?.unwrap_or(1e-5) as f32;
    encoder.position_rows = optional(config, "max_position_embeddings")?.unwrap_or(8192);
    encoder.head_activation = activation(config["classifier_activation"].as_str().unwrap_or("gelu"))?;
    encoder.ropes = Some((
        rope(config, "full_attention", "global_rope_theta", 160_000.0, encoder.position_rows)?,
        rope(config, "sliding_attention", "local_rope_theta", 10_000.0, encoder.position_rows)?,
    ));
    if let Some(classifier) = &mut encoder.classifier {
        classifier.pooling = match config["classifier_pooling"].as_str() {
            None | Some("cls") => Pooling::First,
            Some("mean") => Pooling::Mean,
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "config.json: classifier_pooling {other:?} is not supported; supported: cls, mean"
                )));
            }
        };
    }
    layers(encoder, config)
}

/// Layers with a window see half of `local_attention` on either side; without `layer_types`, every `global_attn_every_n_layers`th has none.
fn layers(encoder: &mut EncoderConfig, config: &Value) -> Result<()> {
    let window = Some(optional(config, "local_attention")?.unwrap_or(128) / 2 + 1);
    let every = optional(config, "global_attn_every_n_layers")?.unwrap_or(3).max(1);
    let types = match &config["layer_types"] {
        Value::Null => None,
        Value::Array(types) if types.len() == encoder.layers.len() => Some(types),
        other => {
            return Err(Error::bad_model(format!(
                "config.json: layer_types must list {} layers, found {other}",
                encoder.layers.len()
            )));
        }
    };
    for (index, layer) in encoder.layers.iter_mut().enumerate() {
        let is_sliding = match types.map(|types| types[index].as_str().unwrap_or_default()) {
            None => !index.is_multiple_of(every),
            Some("sliding_attention") => true,
            Some("full_attention") => false,
            Some(other) => return Err(Error::unsupported(format!("config.json: layer type {other:?} is not supported"))),
        };
        *layer = if is_sliding { LayerKind { window, rope: LayerRope::Local } } else { LayerKind::FULL };
    }
    Ok(())
}

fn rope(config: &Value, kind: &str, key: &str, default_theta: f64, positions: usize) -> Result<Rope> {
    let nested = &config["rope_parameters"][kind];
    let theta = nested["rope_theta"].as_f64().or(number(config, key)?).unwrap_or(default_theta);
    if nested["partial_rotary_factor"].as_f64().is_some_and(|part| (part - 1.0).abs() > f64::EPSILON) {
        return Err(Error::unsupported("config.json: a partial_rotary_factor is not supported for modernbert"));
    }
    Ok(Rope { theta, scaling: RopeScaling::from_hf(nested, positions)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "modernbert", "hidden_size": 36, "intermediate_size": 50, "num_hidden_layers": 4, "num_attention_heads": 6,
            "vocab_size": 31, "architectures": ["ModernBertForSequenceClassification"]
        })
    }

    #[test]
    fn defaults_follow_the_reference() {
        let encoder = EncoderConfig::from_hf(&config()).unwrap();
        let windows: Vec<_> = encoder.layers.iter().map(|layer| layer.window).collect();
        assert_eq!(windows, [None, Some(65), Some(65), None]);
        assert_eq!((encoder.max_tokens(), encoder.token_types, encoder.biases.attention), (8192, 0, false));
        let (global, local) = encoder.ropes.unwrap();
        assert_eq!((global, local), (Rope::plain(160_000.0), Rope::plain(10_000.0)));
        assert_eq!(encoder.classifier.unwrap().pooling, Pooling::First);
    }

    #[test]
    fn older_and_newer_keys_mean_the_same() {
        let mut older = config();
        for (key, value) in
            [("global_rope_theta", json!(80000.0)), ("local_rope_theta", json!(500.0)), ("global_attn_every_n_layers", json!(2))]
        {
            older[key] = value;
        }
        let mut newer = config();
        newer["rope_parameters"] = json!({
            "full_attention": {"rope_type": "default", "rope_theta": 80000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}
        });
        newer["layer_types"] = json!(["full_attention", "sliding_attention", "full_attention", "sliding_attention"]);
        assert_eq!(EncoderConfig::from_hf(&older).unwrap(), EncoderConfig::from_hf(&newer).unwrap());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let cases = [
            ("classifier_pooling", json!("max"), "unsupported-model", "max"),
            ("layer_types", json!(["full_attention"]), "bad-model", "layer_types"),
            ("layer_types", json!(["chunked", "chunked", "chunked", "chunked"]), "unsupported-model", "chunked"),
            ("rope_parameters", json!({"full_attention": {"rope_type": "spiral"}}), "unsupported-model", "spiral"),
            ("rope_parameters", json!({"full_attention": {"partial_rotary_factor": 0.5}}), "unsupported-model", "partial"),
            ("local_rope_theta", json!(-1.0), "bad-model", "rope_theta"),
            ("norm_bias", json!("yes"), "bad-model", "norm_bias"),
            ("hidden_activation", json!("mish"), "unsupported-model", "mish"),
            ("type_vocab_size", json!(2), "unsupported-model", "type_vocab_size"),
        ];
        for (key, value, code, word) in cases {
            let mut config = config();
            config[key] = value;
            let error = EncoderConfig::from_hf(&config).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{key}: {error}");
        }
    }
}
