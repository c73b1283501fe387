//! The shape of an encoder, and what `config.json` of a Hugging Face folder says about it. Keys and defaults: the configuration classes of
//! transformers.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, AttentionSpec};
use serde_json::Value;

use crate::{
    DecoderConfig, LayerKind, LayerRope, Rope, bidirectional_gemma,
    classifier_config::ClassifierConfig,
    config_hf::{number, optional, required},
    config_keys,
    encoder_family::{EncoderFamily, READ},
    family::Family,
    modern_bert,
};

/// Everything that an encoder's computation depends on besides its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    pub(crate) family: EncoderFamily,
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of a token, and of an embedding.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Windows and position embeddings, one for each layer. A window reaches to both sides; a layer without rotations has its positions from a table.
    pub layers: Vec<LayerKind>,
    /// Heads.
    pub heads: usize,
    /// Rows of the table of positions; where queries and keys are rotated instead, the positions that the model was made for.
    pub position_rows: usize,
    /// The row of the first token's position.
    pub first_position: usize,
    /// Rows of the table of token types; 0 where there is none.
    pub token_types: usize,
    /// Added to the variance in normalisation.
    pub norm_epsilon: f32,
    /// What stands between the two matrices of the MLP.
    pub activation: Activation,
    /// Rotary frequencies of the layers that use the global ones, and of those that use the local ones.
    pub(crate) ropes: Option<(Rope, Rope)>,
    /// Which tensors have a bias.
    pub(crate) biases: EncoderBiases,
    /// What stands between the two matrices of the classification head.
    pub(crate) head_activation: Activation,
    /// The classification head, where the model was made for one.
    pub classifier: Option<ClassifierConfig>,
    /// The shape, where the encoder is a decoder whose tokens see each other; its windows reach to both sides.
    pub(crate) decoder: Option<Box<DecoderConfig>>,
}

/// Which of an encoder's tensors have a bias.
#[allow(clippy::struct_excessive_bools, reason = "each is a yes or no of the file's own configuration")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncoderBiases {
    pub(crate) attention: bool,
    pub(crate) mlp: bool,
    pub(crate) norms: bool,
    pub(crate) head_dense: bool,
}

impl EncoderBiases {
    pub(crate) const ALL: Self = Self { attention: true, mlp: true, norms: true, head_dense: true };
}

/// Nothing that runs in a browser comes near these; a hostile configuration does.
pub(crate) const LARGEST_SIZE: usize = 1 << 20;
const LARGEST_LAYERS: usize = 4096;

impl EncoderConfig {
    /// Whether a `config.json` describes an encoder, supported in all its features or not.
    pub fn describes(config: &Value) -> bool {
        let family = config["model_type"].as_str().and_then(EncoderFamily::named);
        family.is_some_and(|family| family != EncoderFamily::Gemma3 || config["use_bidirectional_attention"] == true)
    }

    /// Reads a `config.json`. Fails with `unsupported-model` where it names an architecture or a feature that Eyas does not have, or a key that
    /// might change the computation and is not known; and with `bad-model` where a key is missing or of the wrong type.
    pub fn from_hf(config: &Value) -> Result<Self> {
        let Some(object) = config.as_object() else {
            return Err(Error::bad_model("config.json must hold a JSON object"));
        };
        config_keys::check_kind(config, object)?;
        let model_type = config["model_type"].as_str().unwrap_or_default();
        let family = EncoderFamily::named(model_type).filter(|_| Self::describes(config));
        let family = family.ok_or_else(|| not_an_encoder(model_type))?;
        if family == EncoderFamily::Gemma3 {
            return bidirectional_gemma::read(config);
        }
        config_keys::check_known(object, model_type, &[&READ, family.own_keys()])?;
        let position = config["position_embedding_type"].as_str().unwrap_or("absolute");
        if position != "absolute" {
            return Err(Error::unsupported(format!(
                "config.json: position_embedding_type {position:?} is not supported; supported: absolute"
            )));
        }
        if !config["quantization_config"].is_null() {
            return Err(Error::unsupported(
                "config.json: quantization_config is not supported for encoders; quantise while loading",
            ));
        }
        let keys = family.size_keys();
        let pad_token_id = optional(config, "pad_token_id")?.unwrap_or(1);
        let layers = required(config, keys.layers)?;
        if layers == 0 || layers > LARGEST_LAYERS {
            return Err(Error::bad_model(format!(
                "config.json: {} must be between 1 and {LARGEST_LAYERS}, found {layers}",
                keys.layers
            )));
        }
        let mut encoder = Self {
            family,
            vocab_size: required(config, "vocab_size")?,
            hidden_size: required(config, keys.width)?,
            intermediate_size: required(config, keys.mlp_width)?,
            layers: vec![LayerKind { window: None, rope: LayerRope::None }; layers],
            heads: required(config, keys.heads)?,
            position_rows: optional(config, "max_position_embeddings")?.unwrap_or(512),
            first_position: family.first_position(pad_token_id),
            token_types: if family.has_token_types() { optional(config, "type_vocab_size")?.unwrap_or(2) } else { 0 },
            norm_epsilon: number(config, "layer_norm_eps")?.unwrap_or(1e-12) as f32,
            activation: activation(config[keys.activation].as_str().unwrap_or("gelu"))?,
            ropes: None,
            biases: EncoderBiases::ALL,
            head_activation: family.head_activation(),
            classifier: ClassifierConfig::from_hf(config)?,
            decoder: None,
        };
        if family == EncoderFamily::ModernBert {
            modern_bert::adapt(&mut encoder, config)?;
        }
        encoder.validate()
    }

    /// Checks that sizes are positive, bounded and fit each other.
    pub(crate) fn validate(self) -> Result<Self> {
        let keys = self.family.size_keys();
        let sizes = [
            ("vocab_size", self.vocab_size),
            (keys.width, self.hidden_size),
            (keys.mlp_width, self.intermediate_size),
            (keys.heads, self.heads),
            ("max_position_embeddings", self.position_rows),
        ];
        for (name, size) in sizes {
            if size == 0 || size > LARGEST_SIZE {
                return Err(Error::bad_model(format!("config.json: {name} must be between 1 and {LARGEST_SIZE}, found {size}")));
            }
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            return Err(Error::bad_model(format!(
                "config.json: {} ({}) must be a multiple of {} ({})",
                keys.width, self.hidden_size, keys.heads, self.heads
            )));
        }
        let head_dim = self.hidden_size / self.heads;
        if !head_dim.is_multiple_of(2) || head_dim > 256 {
            return Err(Error::unsupported(format!("config.json: a head's size must be even and at most 256, found {head_dim}")));
        }
        if self.first_position >= self.position_rows || self.token_types > LARGEST_SIZE {
            return Err(Error::bad_model(format!(
                "config.json: max_position_embeddings ({}) leaves no position behind pad_token_id, or type_vocab_size ({}) is too large",
                self.position_rows, self.token_types
            )));
        }
        if self.family.has_token_types() && self.token_types == 0 {
            return Err(Error::bad_model("config.json: type_vocab_size must be at least 1, found 0"));
        }
        if !self.norm_epsilon.is_finite() || self.norm_epsilon < 0.0 {
            return Err(Error::bad_model(format!(
                "config.json: layer_norm_eps must be finite and not negative, found {}",
                self.norm_epsilon
            )));
        }
        for rope in self.ropes.iter().flat_map(|(global, local)| [global, local]) {
            rope.check(head_dim)?;
            if rope.switch_at().is_some() {
                return Err(Error::unsupported("config.json: longrope is not supported for encoders"));
            }
        }
        Ok(self)
    }

    /// The architecture as the file names it, e.g. `bert`.
    pub const fn architecture(&self) -> &'static str {
        self.family.model_type()
    }

    /// Tokens of a text at most.
    pub const fn max_tokens(&self) -> usize {
        self.position_rows - self.first_position
    }

    /// Whether tokens of a pair may have another type than the first.
    pub(crate) const fn has_types_in_pairs(&self) -> bool {
        self.family.reads_token_types() && self.token_types > 1
    }

    /// The size of a head.
    pub const fn head_dim(&self) -> usize {
        self.hidden_size / self.heads
    }

    /// The shape of a layer's attention for texts of at most `max_tokens` tokens.
    pub fn attention_spec(&self, layer: usize, max_tokens: usize) -> AttentionSpec {
        if let Some(decoder) = &self.decoder {
            return decoder.attention_spec(layer, max_tokens, max_tokens).bidirectional();
        }
        let spec = AttentionSpec::new(self.heads, self.heads, self.head_dim(), max_tokens).bidirectional();
        self.layers[layer].window_within(max_tokens).map_or(spec, |window| spec.with_window(window))
    }

    /// Bytes of the keys and values of one layer for such texts, which all layers share, and of tables of rotations.
    pub fn scratch_bytes(&self, max_tokens: usize) -> u64 {
        let (kv_width, tables) = match (&self.decoder, &self.ropes) {
            (Some(decoder), _) => (decoder.kv_heads * decoder.head_dim, 2 * decoder.rotary_dim),
            (None, Some(_)) => (self.hidden_size, 2 * self.head_dim()),
            (None, None) => (self.hidden_size, 0),
        };
        max_tokens as u64 * (2 * kv_width + tables) as u64 * 4
    }
}

fn not_an_encoder(model_type: &str) -> Error {
    if Family::ALL.into_iter().any(|family| family.model_type() == model_type) {
        return Error::unsupported(format!(
            "config.json: model_type {model_type:?} is a decoder, which writes text; to embed or classify texts, load an encoder"
        ));
    }
    let names: Vec<_> = EncoderFamily::ALL.into_iter().map(EncoderFamily::model_type).collect();
    Error::unsupported(format!(
        "config.json: model_type {model_type:?} is not supported as an encoder; supported: {}",
        names.join(", ")
    ))
}

pub(crate) fn activation(name: &str) -> Result<Activation> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        other => Err(Error::unsupported(format!(
            "config.json: the activation {other:?} is not supported; supported: gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "bert", "hidden_size": 36, "intermediate_size": 50, "num_hidden_layers": 2, "num_attention_heads": 6, "vocab_size": 31,
            "max_position_embeddings": 40, "architectures": ["BertModel"], "gradient_checkpointing": false
        })
    }

    #[test]
    fn defaults_follow_the_reference() {
        let bert = EncoderConfig::from_hf(&config()).unwrap();
        assert_eq!((bert.activation, bert.token_types, bert.max_tokens()), (Activation::Gelu, 2, 40));
        assert!((bert.norm_epsilon - 1e-12).abs() < 1e-15);
        assert_eq!(bert.scratch_bytes(10), 2 * 10 * 36 * 4);
        let mut roberta = config();
        roberta["model_type"] = json!("roberta");
        assert_eq!(EncoderConfig::from_hf(&roberta).unwrap().max_tokens(), 38);
        assert!(EncoderConfig::describes(&roberta) && !EncoderConfig::describes(&json!({"model_type": "llama"})));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let cases = [
            ("model_type", json!("mpnet"), "unsupported-model", "mpnet"),
            ("model_type", json!("qwen3"), "unsupported-model", "decoder"),
            ("model_type", json!("gemma3_text"), "unsupported-model", "decoder"),
            ("hidden_size", Value::Null, "bad-model", "hidden_size"),
            ("hidden_size", json!(37), "bad-model", "multiple"),
            ("num_attention_heads", json!(36), "unsupported-model", "head"),
            ("num_hidden_layers", json!(1_u64 << 40), "bad-model", "num_hidden_layers"),
            ("hidden_act", json!("mish"), "unsupported-model", "mish"),
            ("position_embedding_type", json!("relative_key"), "unsupported-model", "relative_key"),
            ("is_decoder", json!(true), "unsupported-model", "is_decoder"),
            ("rotary_scaling_factor", json!(2.0), "unsupported-model", "rotary_scaling_factor"),
            ("layer_norm_eps", json!(-1.0), "bad-model", "layer_norm_eps"),
            ("type_vocab_size", json!(0), "bad-model", "type_vocab_size"),
            ("quantization_config", json!({"quant_method": "fp8"}), "unsupported-model", "quantization_config"),
            ("architectures", json!(["BertForTokenClassification"]), "unsupported-model", "BertForTokenClassification"),
        ];
        for (key, value, code, word) in cases {
            let mut config = config();
            config[key] = value;
            let error = EncoderConfig::from_hf(&config).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{key}: {error}");
        }
    }
}
