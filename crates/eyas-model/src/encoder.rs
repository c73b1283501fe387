//! The encoder: embeddings, layers that see the whole text, pooling and classification head.

use std::cell::RefCell;

use burn::{module::Module, tensor::Tensor};
use eyas_core::{Error, ErrorKind, Result, WeightKind};
use eyas_kernels::{KernelDevice, copy_rows, read_f32, write_step};
use eyas_weights::Checkpoint;

use crate::{
    EncoderConfig, LoadPlan, Pooling, classifier_head::ClassifierHead, encoder_layer::EncoderLayer, encoder_layer::EncoderStep,
    encoder_loader, kv_cache::LayerCache, layer_norm::LayerNorm, linear::Linear, padded_tokens::padded_tokens, pooling::mean_row,
};

/// The weights as Burn modules.
#[derive(Module, Debug)]
pub(crate) struct EncoderWeights {
    pub(crate) words: Linear,
    /// What is added to the word at each position, `[positions, d]`, where there is such a table.
    pub(crate) positions: Option<Tensor<2>>,
    pub(crate) embeddings_norm: LayerNorm,
    pub(crate) layers: Vec<EncoderLayer>,
    /// Behind the last layer, where its own normalisations stand before its halves.
    pub(crate) final_norm: Option<LayerNorm>,
    pub(crate) head: Option<ClassifierHead>,
}

impl EncoderWeights {
    fn bytes(&self) -> u64 {
        let positions = self.positions.as_ref().map_or(0, |table| table.dims().iter().product::<usize>() as u64 * 4);
        let layers: u64 = self.layers.iter().map(EncoderLayer::bytes).sum();
        let norms: u64 = self.final_norm.iter().chain([&self.embeddings_norm]).map(LayerNorm::bytes).sum();
        let head = self.head.as_ref().map_or(0, ClassifierHead::bytes);
        self.words.bytes() + positions + norms + layers + head
    }
}

/// An encoder whose weights are on a device.
///
/// A text is computed in one step, since every token sees every other. Texts are computed one by one: the result of a text does not depend on others.
pub struct Encoder {
    config: EncoderConfig,
    weights: EncoderWeights,
    device: KernelDevice,
    matrix_kind: WeightKind,
    max_tokens: usize,
    /// Keys and values of the layer at hand.
    scratch: RefCell<LayerCache>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("config", &self.config).field("device", &self.device).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Checks names and shapes of all tensors, then reads them in file order, packs and uploads them. Texts have at most `max_tokens` tokens, which are
    /// at most [`EncoderConfig::max_tokens`].
    pub async fn load(
        checkpoint: &Checkpoint,
        config: EncoderConfig,
        max_tokens: usize,
        device: &KernelDevice,
        plan: &LoadPlan<'_>,
    ) -> Result<Self> {
        let max_tokens = max_tokens.min(config.max_tokens());
        let (weights, matrix_kind) = encoder_loader::load(checkpoint, &config, max_tokens, device, plan).await?;
        let upload = device.begin_upload();
        let scratch = RefCell::new(LayerCache::zeros(config.attention_spec(0, max_tokens), device));
        upload.finish().await?;
        Ok(Self { config, weights, device: device.clone(), matrix_kind, max_tokens, scratch })
    }

    /// The shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Where it is.
    pub fn device(&self) -> &KernelDevice {
        &self.device
    }

    /// Tokens of a text at most.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The kind in which most of the matrix weights are held.
    pub fn matrix_kind(&self) -> WeightKind {
        self.matrix_kind
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.weights.bytes() + self.config.scratch_bytes(self.max_tokens)
    }

    /// The last layer's states of all tokens, `[ids, d]`. Fails with `bad-input` or `context-overflow` before anything is computed.
    pub async fn states(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let hidden = self.hidden(ids).await?;
        let mut states = read_f32(&self.device, hidden).await?;
        states.truncate(ids.len() * self.config.hidden_size);
        Ok(states)
    }

    /// The vector of a text, `[d]`; see [`Pooling`]. Fails as [`Encoder::states`] does.
    pub async fn pooled(&self, ids: &[u32], pooling: Pooling) -> Result<Vec<f32>> {
        if pooling == Pooling::Mean {
            return Ok(mean_row(&self.states(ids).await?, self.config.hidden_size));
        }
        read_f32(&self.device, self.pooled_row(ids, pooling).await?).await
    }

    /// The classification head's logits, `[labels]`. Fails as [`Encoder::states`] does, and with `unsupported-model` where there is no head.
    pub async fn class_logits(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let head = self.weights.head.as_ref().ok_or_else(|| {
            Error::unsupported(
                "this encoder has no classification head; expected a model whose architecture ends in ForSequenceClassification",
            )
        })?;
        let pooling = self.config.classifier.as_ref().map_or(Pooling::First, |classifier| classifier.pooling);
        let row = self.pooled_row(ids, pooling).await?;
        read_f32(&self.device, head.forward(row, self.device.tuning())).await
    }

    /// The vector of a text on the device, `[1, d]`.
    async fn pooled_row(&self, ids: &[u32], pooling: Pooling) -> Result<Tensor<2>> {
        let row = match pooling {
            Pooling::Mean => {
                let mean = mean_row(&self.states(ids).await?, self.config.hidden_size);
                return Ok(self.device.floats(mean, [1, self.config.hidden_size]));
            }
            Pooling::First => 0,
            Pooling::Last => ids.len().saturating_sub(1),
        };
        Ok(copy_rows(self.hidden(ids).await?, row, 1))
    }

    /// The last layer's states, `[padded ids, d]`.
    async fn hidden(&self, ids: &[u32]) -> Result<Tensor<2>> {
        self.check(ids)?;
        self.device.settle().await;
        let (tuning, tokens) = (self.device.tuning(), padded_tokens(&self.device, ids.len()));
        let step = EncoderStep { words: write_step(&self.device, 0, ids, tokens), tuning };
        let words = self.weights.words.rows(step.words.clone(), tokens, 1.0);
        let mut x_td = self.weights.embeddings_norm.forward(words, self.weights.positions.clone(), tuning);
        let mut scratch = self.scratch.borrow_mut();
        for (number, layer) in self.weights.layers.iter().enumerate() {
            let spec = self.config.attention_spec(number, self.max_tokens);
            x_td = layer.forward(x_td, &mut scratch, spec, &step);
        }
        Ok(match &self.weights.final_norm {
            None => x_td,
            Some(norm) => norm.forward(x_td, None, tuning),
        })
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::bad_input("a text needs at least one token"));
        }
        if ids.len() > self.max_tokens {
            let detail = format!("a text of {} tokens was given, but the model takes at most {}", ids.len(), self.max_tokens);
            return Err(Error::new(ErrorKind::ContextOverflow, detail));
        }
        let vocab_size = self.config.vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => Err(Error::bad_input(format!("token {id} is outside the vocabulary of {vocab_size} tokens"))),
        }
    }
}
