//! GGUF metadata to an encoder's shape. Keys: what llama.cpp's converter writes for the architectures `bert`, by which it means BERT, DistilBERT,
//! RoBERTa and XLM-RoBERTa alike, `modern-bert`, and `gemma-embedding`.

use eyas_core::{Error, Result};
use eyas_kernels::Activation;
use eyas_weights::{Checkpoint, GgufMetadata};

use crate::{
    ClassifierConfig, EncoderConfig, LayerKind, LayerRope, Pooling, Rope, ScoreKind, bidirectional_gemma,
    config_gguf::{Keys, LARGEST_LAYERS, vocab_size},
    encoder_config::{EncoderBiases, activation},
    encoder_family::EncoderFamily,
    encoder_names::{HEAD_DENSE, HEAD_OUT, TOKEN_TYPES},
};

/// The architectures that are read.
const BERT: &str = "bert";
const MODERN_BERT: &str = "modern-bert";
pub(crate) const GEMMA_EMBEDDING: &str = "gemma-embedding";

/// Keys behind the architecture's name that are read.
const KNOWN: [&str; 10] = [
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.causal",
    "attention.layer_norm_epsilon",
    "classifier.output_labels",
    "pooling_type",
];

/// The same of `modern-bert` only.
const KNOWN_OF_MODERN: [&str; 8] = [
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "classifier.pooling_type",
    "hidden_activation",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.type",
];

impl EncoderConfig {
    /// Whether a GGUF file's metadata describes an encoder that is read.
    pub fn describes_gguf(metadata: &GgufMetadata) -> bool {
        metadata.get_str("general.architecture").is_ok_and(|name| matches!(name, Some(BERT | MODERN_BERT | GEMMA_EMBEDDING)))
    }

    /// Reads a GGUF file's metadata. Fails with `unsupported-model` where it is another architecture, or has a key of the architecture that is not known,
    /// or half a head; and with `bad-model` where a key is missing or of the wrong type. The files do not say which GELU a BERT was trained with; it is the
    /// exact one.
    pub fn from_gguf(checkpoint: &Checkpoint) -> Result<Self> {
        let metadata =
            checkpoint.gguf().ok_or_else(|| Error::internal("an encoder was to be read from GGUF metadata without any"))?;
        let architecture = metadata.get_str("general.architecture")?.unwrap_or_default();
        if !Self::describes_gguf(metadata) {
            return Err(Error::unsupported(format!(
                "GGUF: general.architecture {architecture:?} is not supported as an encoder; supported: {BERT}, {MODERN_BERT}, {GEMMA_EMBEDDING}; other encoders are \
                 read from safetensors"
            )));
        }
        let is_modern = architecture == MODERN_BERT;
        let keys = Keys { metadata, architecture };
        if architecture == GEMMA_EMBEDDING {
            return bidirectional_gemma::read_gguf(&keys);
        }
        let known: Vec<&str> = KNOWN.iter().chain(KNOWN_OF_MODERN.iter().filter(|_| is_modern)).copied().collect();
        keys.check_among(&known)?;
        if keys.flag("attention.causal")? != Some(false) {
            return Err(Error::unsupported("GGUF: an encoder whose attention.causal is not false is not supported"));
        }
        let layers = keys.required("block_count")?;
        if layers == 0 || layers > LARGEST_LAYERS {
            return Err(Error::bad_model(format!("GGUF: block_count must be between 1 and {LARGEST_LAYERS}, found {layers}")));
        }
        // The count is written for models without such a table, too.
        let token_types = checkpoint.tensor(TOKEN_TYPES).and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0);
        let family = family(metadata, is_modern, token_types)?;
        let mut encoder = Self {
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
            classifier: classifier(checkpoint, &keys, family)?,
            decoder: None,
        };
        if is_modern {
            adapt_modern(&mut encoder, &keys, checkpoint)?;
        }
        encoder.validate().map_err(|error| error.context("GGUF"))
    }
}

/// The family, of which the vocabulary tells the most.
fn family(metadata: &GgufMetadata, is_modern: bool, token_types: usize) -> Result<EncoderFamily> {
    Ok(match metadata.get_str("tokenizer.ggml.model")? {
        _ if is_modern => EncoderFamily::ModernBert,
        Some("gpt2") => EncoderFamily::Roberta,
        Some("t5") => EncoderFamily::XlmRoberta,
        _ if token_types > 0 => EncoderFamily::Bert,
        _ => EncoderFamily::DistilBert,
    })
}

/// The head, where the file has one. Which scores it makes is not in the file: several labels exclude each other.
fn classifier(checkpoint: &Checkpoint, keys: &Keys<'_>, family: EncoderFamily) -> Result<Option<ClassifierConfig>> {
    let (dense, out) = (checkpoint.tensor(HEAD_DENSE), checkpoint.tensor(HEAD_OUT));
    let labels = keys.metadata.get_strings(&format!("{}.classifier.output_labels", keys.architecture))?;
    let out = match (dense, out) {
        (_, None) if labels.is_none() && (dense.is_none() || family == EncoderFamily::ModernBert) => return Ok(None),
        (None, Some(_)) if family == EncoderFamily::Bert => {
            return Err(Error::unsupported(
                "GGUF: the classification head of a BERT reads the pooler's output, but the file has no pooler, which llama.cpp's converter leaves \
                 out; load the model from its safetensors",
            ));
        }
        (Some(_), Some(out)) => out,
        _ => {
            return Err(Error::unsupported(format!(
                "GGUF: the file has half a classification head; expected {HEAD_DENSE:?}, {HEAD_OUT:?} and labels; load the model from its safetensors"
            )));
        }
    };
    let count = out.shape.first().copied().unwrap_or(0);
    let labels = match labels {
        None => (0..count).map(|index| format!("LABEL_{index}")).collect::<Vec<_>>(),
        Some(labels) => labels.into_iter().map(str::to_owned).collect(),
    };
    if labels.len() != count || labels.is_empty() {
        return Err(Error::bad_model(format!(
            "GGUF: classifier.output_labels has {} labels, but {HEAD_OUT:?} has {count} rows",
            labels.len()
        )));
    }
    let scores = if count == 1 { ScoreKind::Sigmoid } else { ScoreKind::Softmax };
    Ok(Some(ClassifierConfig { labels, scores, pooling: Pooling::First }))
}

/// What ModernBERT has besides. Which tensors have biases shows in their names; what a file leaves open is as llama.cpp has it.
fn adapt_modern(encoder: &mut EncoderConfig, keys: &Keys<'_>, checkpoint: &Checkpoint) -> Result<()> {
    let has = |name: &str| checkpoint.tensor(name).is_some();
    encoder.biases = EncoderBiases {
        attention: has("blk.0.attn_qkv.bias"),
        mlp: has("blk.0.ffn_up.bias"),
        norms: has("output_norm.bias"),
        head_dense: has("cls.bias"),
    };
    encoder.norm_epsilon = keys.float("attention.layer_norm_rms_epsilon")?.map_or(encoder.norm_epsilon, |epsilon| epsilon as f32);
    let name = |key: &str| keys.metadata.get_str(&format!("{MODERN_BERT}.{key}"));
    encoder.activation = activation(name("hidden_activation")?.unwrap_or("gelu")).map_err(|error| error.context("GGUF"))?;
    if let Some(kind) = name("rope.scaling.type")?.filter(|kind| *kind != "none") {
        return Err(Error::unsupported(format!("GGUF: rope.scaling.type {kind:?} is not supported for {MODERN_BERT}")));
    }
    let base = |key, default| Ok::<_, Error>(Rope::plain(keys.float(key)?.unwrap_or(default)));
    encoder.ropes = Some((base("rope.freq_base", 160_000.0)?, base("rope.freq_base_swa", 10_000.0)?));
    let window = keys.optional("attention.sliding_window")?.filter(|window| *window > 0).map(|window| window / 2 + 1);
    if window.is_none() {
        keys.refuse(&["attention.sliding_window_pattern"])?;
    }
    let has_window = keys.window_layers(encoder.layers.len(), 3, true)?;
    for (layer, has_window) in encoder.layers.iter_mut().zip(has_window) {
        *layer = match window {
            Some(_) if has_window => LayerKind { window, rope: LayerRope::Local },
            _ => LayerKind::FULL,
        };
    }
    if let Some(classifier) = &mut encoder.classifier {
        classifier.pooling = match keys.optional("classifier.pooling_type")? {
            None | Some(1) => Pooling::Mean,
            Some(2) => Pooling::First,
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "GGUF: classifier.pooling_type {other} is not supported; supported: 1 (mean) and 2 (cls)"
                )));
            }
        };
    }
    Ok(())
}
