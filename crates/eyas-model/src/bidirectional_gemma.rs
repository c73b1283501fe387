//! EmbeddingGemma's `config.json` and GGUF metadata (arXiv 2509.20354): Gemma 3's, whose tokens see each other.

use eyas_core::{Error, Result};
use serde_json::{Value, json};

use crate::{
    ClassifierConfig, DecoderConfig, EncoderConfig, config_gguf,
    config_gguf::Keys,
    config_hf::optional,
    encoder_config::{EncoderBiases, LARGEST_SIZE},
    encoder_family::EncoderFamily,
    family::Family,
};

/// The encoder that such a configuration describes. Fails as [`DecoderConfig::from_hf`] does, and where there is a head or a stored quantisation.
pub(crate) fn read(config: &Value) -> Result<EncoderConfig> {
    if ClassifierConfig::from_hf(config)?.is_some() {
        return Err(Error::unsupported("config.json: a classification head of gemma3_text is not supported"));
    }
    if !config["quantization_config"].is_null() {
        return Err(Error::unsupported("config.json: quantization_config is not supported for encoders; quantise while loading"));
    }
    let mut causal = config.clone();
    causal["use_bidirectional_attention"] = Value::Null;
    // The window is the width of both sides; a token sees itself on each.
    causal["sliding_window"] = json!(optional(config, "sliding_window")?.unwrap_or(4096) / 2 + 1);
    of_decoder(DecoderConfig::from_hf(&causal)?)
}

/// Keys that name the widths of projections, which are checked with their tensors.
const PROJECTIONS: [&str; 4] = ["dense_2_feat_in", "dense_2_feat_out", "dense_3_feat_in", "dense_3_feat_out"];

/// The encoder that a GGUF file of the architecture `gemma-embedding` describes. Fails as [`DecoderConfig::from_gguf`] does.
pub(crate) fn read_gguf(keys: &Keys<'_>) -> Result<EncoderConfig> {
    let known: Vec<&str> = config_gguf::KNOWN.into_iter().chain(PROJECTIONS).collect();
    keys.check_among(&known)?;
    keys.expect_flag("attention.causal", false)?;
    keys.required("attention.sliding_window")?;
    let mut decoder = DecoderConfig::of_gguf_family(keys, Family::Gemma3)?;
    for window in decoder.layers.iter_mut().filter_map(|layer| layer.window.as_mut()) {
        *window = *window / 2 + 1;
    }
    // Gemma 3's largest model has another scale, known by its layers; this one has not.
    decoder.attention_scale = (1.0 / (decoder.head_dim as f64).sqrt()) as f32;
    of_decoder(decoder)
}

fn of_decoder(decoder: DecoderConfig) -> Result<EncoderConfig> {
    if decoder.max_position_embeddings > LARGEST_SIZE {
        let found = decoder.max_position_embeddings;
        return Err(Error::bad_model(format!("max_position_embeddings must be at most {LARGEST_SIZE}, found {found}")));
    }
    Ok(EncoderConfig {
        family: EncoderFamily::Gemma3,
        vocab_size: decoder.vocab_size,
        hidden_size: decoder.hidden_size,
        intermediate_size: decoder.intermediate_size,
        layers: decoder.layers.clone(),
        heads: decoder.heads,
        position_rows: decoder.max_position_embeddings,
        first_position: 0,
        token_types: 0,
        norm_epsilon: decoder.norm_epsilon,
        activation: decoder.activation,
        ropes: None,
        biases: EncoderBiases::ALL,
        head_activation: decoder.activation,
        classifier: None,
        decoder: Some(Box::new(decoder)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "gemma3_text", "use_bidirectional_attention": true, "hidden_size": 36, "intermediate_size": 50, "num_hidden_layers": 7,
            "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 14, "vocab_size": 31, "sliding_window": 512,
            "architectures": ["Gemma3TextModel"], "max_position_embeddings": 2048
        })
    }

    #[test]
    fn half_of_the_window_is_on_either_side() {
        let encoder = EncoderConfig::from_hf(&config()).unwrap();
        let spec = encoder.attention_spec(0, 2048);
        assert_eq!((spec.first_visible(1000), spec.visible_end(1000, 2048), spec.is_causal), (744, 1257, false));
        let last_of_six = encoder.attention_spec(5, 2048);
        assert_eq!((last_of_six.first_visible(1000), last_of_six.visible_end(1000, 2048)), (0, 2048));
        assert_eq!(encoder.attention_spec(0, 100).window, None);
        assert_eq!(encoder.scratch_bytes(10), 10 * (2 * 14 + 2 * 14) * 4);
        assert_eq!(encoder.architecture(), "gemma3_text");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let cases = [
            ("architectures", json!(["Gemma3TextForSequenceClassification"]), "unsupported-model", "head"),
            ("architectures", json!(["Gemma3ForCausalLM"]), "unsupported-model", "Gemma3ForCausalLM"),
            ("quantization_config", json!({"quant_method": "fp8"}), "unsupported-model", "quantization_config"),
            ("use_bidirectional_attention", json!(false), "unsupported-model", "decoder"),
            ("head_dim", json!(13), "unsupported-model", "head_dim"),
            ("post_scale", json!(2.0), "unsupported-model", "post_scale"),
            ("max_position_embeddings", json!(1_u64 << 62), "bad-model", "max_position_embeddings"),
        ];
        for (key, value, code, word) in cases {
            let mut config = config();
            config[key] = value;
            let error = EncoderConfig::from_hf(&config).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{key}: {error}");
        }
        let error = DecoderConfig::from_hf(&config()).unwrap_err();
        assert!(error.code() == "unsupported-model" && error.detail().contains("is an encoder"), "{error}");
    }
}
