//! The encoder: embeddings, layers that see the whole text, pooling and classification head.

use std::cell::RefCell;

use burn::tensor::Tensor;
use eyas_core::{Error, ErrorKind, Result, WeightKind};
use eyas_kernels::{KernelDevice, copy_rows, read_f32, with_room, write_step};
use eyas_weights::Checkpoint;

use crate::{
    DenseConfig, EncoderConfig, LoadPlan, Pooling,
    bidirectional_decoder::BidirectionalDecoder,
    dense::Dense,
    encoder_layer::EncoderStep,
    encoder_loader,
    encoder_weights::EncoderWeights,
    kv_cache::LayerCache,
    padded_tokens::{padded_tokens, step_tokens},
    pooling::mean_row,
};

/// Tokens of a short text: the buffers of such texts on a GPU have room for so many, those of longer ones for the most that there may be.
const SHORT_TOKENS: usize = 128;

/// Tokens for which a text of so many gets room on a GPU, where texts have at most `max_tokens`.
pub(crate) fn room(tokens: usize, max_tokens: usize) -> usize {
    match tokens {
        0 | 1 => tokens,
        2..=SHORT_TOKENS => SHORT_TOKENS.min(step_tokens(max_tokens)),
        _ => step_tokens(max_tokens),
    }
}

/// What computes the states of tokens.
#[allow(clippy::large_enum_variant, reason = "there is one in a model")]
#[derive(Debug)]
enum Body {
    Encoder(EncoderWeights),
    Decoder(BidirectionalDecoder),
}

/// An encoder whose weights are on a device.
///
/// A text is computed in one step, since every token sees every other. Texts are computed one by one: the result of a text does not depend on others.
pub struct Encoder {
    config: EncoderConfig,
    body: Body,
    /// Behind the pooling.
    projections: Vec<Dense>,
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
        let (body, matrix_kind) = if let Some(decoder) = &config.decoder {
            let decoder = decoder.as_ref().clone();
            let (body, kind) = Box::pin(BidirectionalDecoder::load(checkpoint, decoder, max_tokens, device, plan)).await?;
            (Body::Decoder(body), kind)
        } else {
            let (weights, kind) = Box::pin(encoder_loader::load(checkpoint, &config, max_tokens, device, plan)).await?;
            (Body::Encoder(weights), kind)
        };
        let upload = device.begin_upload();
        let scratch = RefCell::new(LayerCache::empty(config.attention_spec(0, max_tokens), device));
        upload.finish().await?;
        Ok(Self { config, body, projections: Vec::new(), device: device.clone(), matrix_kind, max_tokens, scratch })
    }

    /// Adds a projection behind the pooling, and behind those that were added before. Fails with `bad-model` where its tensors are others than `config`
    /// says.
    pub async fn project(&mut self, checkpoint: &Checkpoint, config: &DenseConfig, plan: &LoadPlan<'_>) -> Result<()> {
        self.projections.push(Dense::load(checkpoint, config, &self.device, plan).await?);
        Ok(())
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
        let body = match &self.body {
            Body::Encoder(weights) => weights.bytes(),
            Body::Decoder(decoder) => decoder.bytes(),
        };
        body + self.projections.iter().map(Dense::bytes).sum::<u64>() + self.config.scratch_bytes(self.max_tokens)
    }

    /// The last layer's states of all tokens, `[ids, d]`. Fails with `bad-input` or `context-overflow` before anything is computed.
    pub async fn states(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let hidden = self.hidden(ids, &[]).await?;
        let mut states = read_f32(&self.device, hidden).await?;
        states.truncate(ids.len() * self.config.hidden_size);
        Ok(states)
    }

    /// The vector of a text behind all projections; see [`Pooling`]. Fails as [`Encoder::states`] does.
    pub async fn pooled(&self, ids: &[u32], pooling: Pooling) -> Result<Vec<f32>> {
        if pooling == Pooling::Mean && self.projections.is_empty() {
            return Ok(mean_row(&self.states(ids).await?, self.config.hidden_size));
        }
        let row = self.pooled_row(ids, &[], pooling).await?;
        let tuning = self.device.tuning();
        let projected = self.projections.iter().fold(row, |row, projection| projection.forward(row, tuning));
        read_f32(&self.device, projected).await
    }

    /// The classification head's logits, `[labels]`. `types` has the type of each token, or is empty where all have the first; a model without types
    /// passes over them. Fails as [`Encoder::states`] does, and with `unsupported-model` where there is no head.
    pub async fn class_logits(&self, ids: &[u32], types: &[u32]) -> Result<Vec<f32>> {
        let head = match &self.body {
            Body::Encoder(weights) => weights.head.as_ref(),
            Body::Decoder(_) => None,
        };
        let head = head.ok_or_else(|| {
            Error::unsupported(
                "this encoder has no classification head; expected a model whose architecture ends in ForSequenceClassification",
            )
        })?;
        let pooling = self.config.classifier.as_ref().map_or(Pooling::First, |classifier| classifier.pooling);
        let row = self.pooled_row(ids, types, pooling).await?;
        read_f32(&self.device, head.forward(row, self.device.tuning())).await
    }

    /// The vector of a text on the device, `[1, d]`.
    async fn pooled_row(&self, ids: &[u32], types: &[u32], pooling: Pooling) -> Result<Tensor<2>> {
        let row = match pooling {
            Pooling::Mean => {
                let mut states = read_f32(&self.device, self.hidden(ids, types).await?).await?;
                states.truncate(ids.len() * self.config.hidden_size);
                let mean = mean_row(&states, self.config.hidden_size);
                return Ok(self.device.floats(mean, [1, self.config.hidden_size]));
            }
            Pooling::First => 0,
            Pooling::Last => ids.len().saturating_sub(1),
        };
        Ok(copy_rows(self.hidden(ids, types).await?, row, 1))
    }

    /// The last layer's states, `[padded ids, d]`.
    async fn hidden(&self, ids: &[u32], types: &[u32]) -> Result<Tensor<2>> {
        self.check(ids)?;
        self.check_types(ids, types)?;
        self.device.settle().await;
        Ok(self.layers(ids, types, self.config.layers.len()))
    }

    /// The states behind so many layers, `[padded ids, d]`.
    fn layers(&self, ids: &[u32], types: &[u32], count: usize) -> Tensor<2> {
        let (tuning, tokens) = (self.device.tuning(), padded_tokens(&self.device, ids.len()));
        let room = if self.device.is_gpu() { room(tokens, self.max_tokens) } else { tokens };
        let types = types.iter().any(|of_token| *of_token != 0).then(|| write_step(&self.device, 0, types, room));
        let step = EncoderStep { words: write_step(&self.device, 0, ids, room), types, tuning };
        let specs = (0..count).map(|layer| self.config.attention_spec(layer, self.max_tokens));
        let mut scratch = self.scratch.borrow_mut();
        with_room(room, || match &self.body {
            Body::Encoder(weights) => weights.hidden(&step, tokens, specs, &mut scratch),
            Body::Decoder(decoder) => decoder.hidden(step, tokens, specs, &mut scratch),
        })
    }

    /// Computes a text with the first layer only, and what stands behind the pooling of its first token.
    pub(crate) fn first_layer(&self, ids: &[u32]) {
        let tuning = self.device.tuning();
        let row = copy_rows(self.layers(ids, &[], 1), 0, 1);
        if let Body::Encoder(EncoderWeights { head: Some(head), .. }) = &self.body {
            head.forward(row.clone(), tuning);
        }
        self.projections.iter().fold(row, |row, projection| projection.forward(row, tuning));
    }

    fn check_types(&self, ids: &[u32], types: &[u32]) -> Result<()> {
        if !types.is_empty() && types.len() != ids.len() {
            return Err(Error::bad_input(format!("{} token types were given for {} tokens", types.len(), ids.len())));
        }
        let known = self.config.token_types;
        match types.iter().find(|of_token| self.config.family.reads_token_types() && **of_token as usize >= known) {
            None => Ok(()),
            Some(unknown) => Err(Error::bad_model(format!(
                "the tokenizer gives a token the type {unknown}, but the model has only {known} types"
            ))),
        }
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
