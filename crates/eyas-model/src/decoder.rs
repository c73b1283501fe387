//! The decoder: embedding, layers, final normalisation and output head.

use std::{cell::RefCell, rc::Rc};

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_core::{CancelToken, Error, ErrorKind, ProgressSink, Quantize, Result, WeightKind};
use eyas_kernels::{KernelDevice, Tuning, copy_rows, read_f32, write_step};
use eyas_weights::Checkpoint;

use crate::{
    DecoderConfig, KvCache, attention::Step, decoder_layer::DecoderLayer, kv_cache::LayerCache, linear::Linear, loader,
    norm::RmsNorm, rope::rope_table,
};

/// How a decoder is to be loaded.
pub struct LoadPlan<'a> {
    /// What becomes of matrix weights.
    pub quantize: Quantize,
    /// Receives progress.
    pub progress: &'a dyn ProgressSink,
    /// Stops the load at its next await.
    pub cancel: &'a CancelToken,
}

/// Which logits a step returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsOf {
    /// None: keys and values are computed, and that is all.
    Nothing,
    /// Those of the last token, `[vocab]`.
    Last,
    /// Those of every token, `[tokens, vocab]`.
    All,
}

/// The weights as Burn modules.
#[derive(Module, Debug)]
pub(crate) struct Weights {
    pub(crate) embedding: Linear,
    pub(crate) layers: Vec<DecoderLayer>,
    pub(crate) final_norm: RmsNorm,
    /// Absent where the embedding matrix is the head.
    pub(crate) head: Option<Linear>,
}

impl Weights {
    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(DecoderLayer::bytes).sum();
        self.embedding.bytes() + layers + self.final_norm.bytes() + self.head.as_ref().map_or(0, Linear::bytes)
    }

    /// Hidden states `[tokens, d]` of the step's tokens before the final normalisation.
    fn hidden(&self, layers: &mut [LayerCache], step: &Step, tokens: usize, hold: Hold, held: &mut Vec<Tensor<2>>) -> Tensor<2> {
        let mut x_td = self.embedding.rows(step.words.clone(), tokens);
        if hold == Hold::All {
            // Only a recording may share this buffer: a CPU tensor that is shared would be copied at every residual.
            held.push(x_td.clone());
        }
        for (layer, cache) in self.layers.iter().zip(layers) {
            x_td = layer.forward(x_td, cache, step, held);
            if hold == Hold::Nothing {
                held.clear();
            }
        }
        x_td
    }

    /// Logits `[rows, vocab]` of hidden states `[rows, d]`.
    fn logits(&self, hidden_td: Tensor<2>, tuning: Tuning, held: &mut Vec<Tensor<2>>) -> Tensor<2> {
        let normed = self.final_norm.forward(hidden_td, tuning);
        held.push(normed.clone());
        self.head.as_ref().unwrap_or(&self.embedding).forward(normed, tuning)
    }
}

/// Whether a step keeps its activations alive after it was launched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Nothing,
    #[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "only recordings on a GPU hold"))]
    All,
}

/// A decoder whose weights are on a device.
pub struct Decoder {
    config: DecoderConfig,
    weights: Rc<Weights>,
    device: KernelDevice,
    matrix_kind: WeightKind,
    rope_table: RefCell<Option<Tensor<2>>>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("config", &self.config).field("device", &self.device).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Checks names and shapes of all tensors, then reads them in file order, packs and uploads them.
    pub async fn load(
        checkpoint: &Checkpoint,
        config: DecoderConfig,
        device: &KernelDevice,
        plan: &LoadPlan<'_>,
    ) -> Result<Self> {
        let loaded = loader::load(checkpoint, config, device, plan).await?;
        Ok(Self {
            config: loaded.config,
            weights: Rc::new(loaded.weights),
            device: device.clone(),
            matrix_kind: loaded.matrix_kind,
            rope_table: RefCell::new(None),
        })
    }

    /// The decoder's shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where it computes.
    pub fn device(&self) -> &KernelDevice {
        &self.device
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// The kind in which most matrix weights are held.
    pub fn matrix_kind(&self) -> WeightKind {
        self.matrix_kind
    }

    /// Allocates a cache for `context_tokens` tokens.
    pub fn new_cache(&self, context_tokens: usize) -> Result<KvCache> {
        if context_tokens == 0 {
            return Err(Error::bad_input("a KV cache must hold at least one token"));
        }
        let kv_width = self.config.attention_spec(context_tokens).kv_width();
        Ok(KvCache::new(self.weights.clone(), self.rope_table(context_tokens), context_tokens, kv_width, &self.device))
    }

    /// The table for at least that many positions; made once for the largest context asked for so far.
    fn rope_table(&self, context: usize) -> Tensor<2> {
        let mut made = self.rope_table.borrow_mut();
        if let Some(table) = made.as_ref().filter(|table| table.dims()[0] >= context) {
            return table.clone();
        }
        let dim = self.config.rope_spec().rotary_dim;
        let values = rope_table(&self.config.rope_scaling, self.config.rope_theta, dim, context);
        let table = self.device.floats(values, [context, dim]);
        *made = Some(table.clone());
        table
    }

    /// Computes `ids` at the positions after those in the cache, appends their keys and values, and returns logits.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed.
    pub async fn forward(&self, cache: &mut KvCache, ids: &[u32], logits: LogitsOf) -> Result<Vec<f32>> {
        if ids.is_empty() {
            return Err(Error::bad_input("a step needs at least one token"));
        }
        self.check_step(cache, ids, ids.len())?;
        self.device.settle().await;
        #[cfg(feature = "gpu")]
        if let (&[id], LogitsOf::Last, true) = (ids, logits, self.device.is_gpu()) {
            return self.decode_recorded(cache, id).await;
        }
        let tokens = self.padded(ids.len());
        let step = self.step(write_step(&self.device, cache.len(), ids, tokens), cache);
        let mut held = Vec::new();
        let weights = cache.weights.clone();
        let hidden = weights.hidden(&mut cache.layers, &step, tokens, Hold::Nothing, &mut held);
        let rows = match logits {
            LogitsOf::Nothing => {
                cache.len += ids.len();
                return Ok(Vec::new());
            }
            LogitsOf::Last if ids.len() == 1 => hidden,
            LogitsOf::Last => copy_rows(hidden, ids.len() - 1, 1, 1),
            LogitsOf::All => hidden,
        };
        let mut values = read_f32(&self.device, weights.logits(rows, step.tuning, &mut held)).await?;
        cache.len += ids.len();
        values.truncate(if logits == LogitsOf::All { ids.len() } else { 1 } * self.config.vocab_size);
        Ok(values)
    }

    /// Tokens that [`Decoder::decode_greedy`] computes at most in one call; 0 where the device can't choose tokens itself.
    pub fn greedy_in_flight(&self) -> usize {
        #[cfg(feature = "gpu")]
        if self.device.is_gpu() {
            return eyas_kernels::Recording::MAX_IN_FLIGHT;
        }
        0
    }

    /// Computes `id`, then `count - 1` times the most probable token (the lowest id among equals), without a word from the host in between; returns
    /// the `count` tokens that were chosen. The last of them is not in the cache yet.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed.
    pub async fn decode_greedy(&self, cache: &mut KvCache, id: u32, count: usize) -> Result<Vec<u32>> {
        if count == 0 || count > self.greedy_in_flight() {
            let most = self.greedy_in_flight();
            return Err(Error::bad_input(format!(
                "{count} tokens were to be in flight on this device, which allows 1 to {most}"
            )));
        }
        self.check_step(cache, &[id], count)?;
        self.device.settle().await;
        #[cfg(feature = "gpu")]
        {
            let position = cache.len();
            let picked = self.recording(cache, id)?.replay_greedy(&self.device, position, id, count).await?;
            cache.len += count;
            Ok(picked)
        }
        #[cfg(not(feature = "gpu"))]
        Err(Error::internal("a device without a GPU was asked to choose tokens"))
    }

    /// One token through the recorded step.
    #[cfg(feature = "gpu")]
    async fn decode_recorded(&self, cache: &mut KvCache, id: u32) -> Result<Vec<f32>> {
        let position = cache.len();
        let logits = self.recording(cache, id)?.replay(&self.device, position, id).await?;
        cache.len += 1;
        Ok(logits)
    }

    /// The cache's recorded step, which is made at the first token decoded on it.
    #[cfg(feature = "gpu")]
    fn recording<'a>(&self, cache: &'a mut KvCache, id: u32) -> Result<&'a eyas_kernels::Recording> {
        let position = cache.len();
        if cache.recording.is_none() {
            let weights = cache.weights.clone();
            let template = self.step(write_step(&self.device, position, &[id], 1), cache);
            let layers = &mut cache.layers;
            let recording = eyas_kernels::Recording::capture(&self.device, position, id, |words, held| {
                let step = Step { words, rope_table: template.rope_table.clone(), ..template };
                let hidden = weights.hidden(layers, &step, 1, Hold::All, held);
                weights.logits(hidden, step.tuning, held)
            })?;
            cache.recording = Some(recording);
        }
        cache.recording.as_ref().ok_or_else(|| Error::internal("the decode step was not recorded"))
    }

    /// Fails where `ids`, and tokens up to `count`, can't be computed behind what is in the cache.
    fn check_step(&self, cache: &KvCache, ids: &[u32], count: usize) -> Result<()> {
        if cache.len() + count > cache.capacity() {
            return Err(Error::new(
                ErrorKind::ContextOverflow,
                format!("{count} tokens do not fit behind {} in a context of {}", cache.len(), cache.capacity()),
            ));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(Error::bad_input(format!("token {id} is outside the vocabulary of {} tokens", self.config.vocab_size)));
        }
        Ok(())
    }

    fn step(&self, words: Tensor<1, Int>, cache: &KvCache) -> Step {
        Step {
            words,
            rope_table: cache.rope_table.clone(),
            rope: self.config.rope_spec(),
            attention: self.config.attention_spec(cache.capacity()),
            tuning: self.device.tuning(),
        }
    }

    /// Tokens that kernels compute for `tokens` real ones: a GPU's threads take several each.
    fn padded(&self, tokens: usize) -> usize {
        if self.device.is_gpu() && tokens > 1 {
            tokens.next_multiple_of(self.device.tuning().matmul_tokens as usize)
        } else {
            tokens
        }
    }
}
