//! GGUF metadata to an encoder's shape. Keys: what llama.cpp's converter writes for the architecture `bert`, by which it means BERT, DistilBERT and
//! RoBERTa alike.

use eyas_core::{Error, Result};
use eyas_kernels::Activation;
use eyas_weights::{Checkpoint, GgufMetadata};

use crate::{
    EncoderConfig, LayerKind, LayerRope,
    config_gguf::{Keys, LARGEST_LAYERS, vocab_size},
    encoder_config::EncoderBiases,
    encoder_family::EncoderFamily,
    encoder_names::TOKEN_TYPES,
};

/// The architecture that is read.
const ARCHITECTURE: &str = "bert";

/// Keys behind the architecture's name that are read.
const KNOWN: [&str; 9] = [
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_epsilon",
    "attention.causal",
    "pooling_type",
];

impl EncoderConfig {
    /// Whether a GGUF file's metadata describes an encoder that is read.
    pub fn describes_gguf(metadata: &GgufMetadata) -> bool {
        metadata.get_str("general.architecture").is_ok_and(|name| name == Some(ARCHITECTURE))
    }

    /// Reads a GGUF file's metadata. Fails with `unsupported-model` where it is another architecture, or has a key of the architecture that is not known;
    /// and with `bad-model` where a key is missing or of the wrong type. The files do not say which GELU a model was trained with; it is the exact one,
    /// as in BERT.
    pub fn from_gguf(checkpoint: &Checkpoint) -> Result<Self> {
        let metadata =
            checkpoint.gguf().ok_or_else(|| Error::internal("an encoder was to be read from GGUF metadata without any"))?;
        if !Self::describes_gguf(metadata) {
            let name = metadata.get_str("general.architecture")?.unwrap_or_default();
            return Err(Error::unsupported(format!(
                "GGUF: general.architecture {name:?} is not supported as an encoder; supported: {ARCHITECTURE}; other encoders are read from \
                 safetensors"
            )));
        }
        let keys = Keys { metadata, architecture: ARCHITECTURE };
        keys.check_among(&KNOWN)?;
        if keys.flag("attention.causal")? != Some(false) {
            return Err(Error::unsupported("GGUF: an encoder whose attention.causal is not false is not supported"));
        }
        let layers = keys.required("block_count")?;
        if layers == 0 || layers > LARGEST_LAYERS {
            return Err(Error::bad_model(format!("GGUF: block_count must be between 1 and {LARGEST_LAYERS}, found {layers}")));
        }
        // The count is written for models without such a table, too.
        let token_types = checkpoint.tensor(TOKEN_TYPES).and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0);
        let family = if token_types > 0 { EncoderFamily::Bert } else { EncoderFamily::DistilBert };
        Self {
            family,
            vocab_size: vocab_size(&keys)?,
            hidden_size: keys.required("embedding_length")?,
            intermediate_size: keys.required("feed_forward_length")?,
            layers: vec![LayerKind { window: None, rope: LayerRope::None }; layers],
            heads: keys.required("attention.head_count")?.max(1),
            position_rows: keys.required("context_length")?,
            first_position: 0,
            token_types,
            norm_epsilon: keys.float("attention.layer_norm_epsilon")?.unwrap_or(1e-12) as f32,
            activation: Activation::Gelu,
            ropes: None,
            biases: EncoderBiases::ALL,
            head_activation: family.head_activation(),
            classifier: None,
            decoder: None,
        }
        .validate()
        .map_err(|error| error.context("GGUF"))
    }
}
