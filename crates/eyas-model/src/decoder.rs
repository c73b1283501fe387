//! The decoder: embedding, layers, final normalisation and output head.

use std::rc::Rc;

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_core::{CancelToken, Error, ErrorKind, ProgressSink, Quantize, Result, WeightKind};
#[cfg(feature = "gpu")]
use eyas_kernels::Choice;
use eyas_kernels::{Draws, KernelDevice, Tuning, copy_rows, read_f32, softcap, with_room, write_step};
use eyas_weights::Checkpoint;

use crate::{
    DecoderConfig, KvCache, attention::Step, decoder_layer::DecoderLayer, kv_cache::LayerCache, linear::Linear, loader,
    norm::RmsNorm, padded_tokens::padded_tokens, residual_join::Stream, rope_tables::RopeTableStore,
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
    #[module(skip)]
    pub(crate) embedding_scale: f32,
    pub(crate) layers: Vec<DecoderLayer>,
    pub(crate) final_norm: RmsNorm,
    /// Absent where the embedding matrix is the head.
    pub(crate) head: Option<Linear>,
    #[module(skip)]
    pub(crate) logit_softcap: Option<f32>,
}

impl Weights {
    pub(crate) fn bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(DecoderLayer::bytes).sum();
        self.embedding.bytes() + layers + self.final_norm.bytes() + self.head.as_ref().map_or(0, Linear::bytes)
    }

    /// Hidden states of the step's tokens before the final normalisation, or behind it where the last layer has done that.
    fn hidden(&self, layers: &mut [LayerCache], step: &Step, tokens: usize, hold: Hold, held: &mut Vec<Tensor<2>>) -> Hidden {
        let x_td = self.embedding.rows(step.words.clone(), tokens, self.embedding_scale);
        if hold == Hold::All {
            // Only a recording may share this buffer: a CPU tensor that is shared would be copied at every residual.
            held.push(x_td.clone());
        }
        let mut stream = Stream { residual: x_td, normed: None };
        for (layer, cache) in self.layers.iter().zip(layers) {
            stream = layer.forward(stream, cache, step, held);
            if hold == Hold::Nothing {
                held.clear();
            }
        }
        match stream.normed {
            Some(x_td) => Hidden { x_td, is_normed: true },
            None => Hidden { x_td: stream.residual, is_normed: false },
        }
    }

    /// The logits of a step that is recorded.
    #[cfg(feature = "gpu")]
    pub(crate) fn recorded(&self, layers: &mut [LayerCache], step: &Step, tokens: usize, held: &mut Vec<Tensor<2>>) -> Tensor<2> {
        let hidden = self.hidden(layers, step, tokens, Hold::All, held);
        self.logits(hidden, step.tuning, held)
    }

    /// Logits `[rows, vocab]` of hidden states.
    fn logits(&self, hidden: Hidden, tuning: Tuning, held: &mut Vec<Tensor<2>>) -> Tensor<2> {
        let normed = if hidden.is_normed { hidden.x_td } else { self.final_norm.forward(hidden.x_td, tuning) };
        held.push(normed.clone());
        let logits = self.head.as_ref().unwrap_or(&self.embedding).forward(normed, tuning);
        match self.logit_softcap {
            None => logits,
            Some(cap) => softcap(logits, cap),
        }
    }
}

/// Hidden states `[rows, d]`.
struct Hidden {
    x_td: Tensor<2>,
    /// Whether the final normalisation is behind them.
    is_normed: bool,
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
    rope_tables: RopeTableStore,
    /// Ids below this may be chosen on the device.
    choices: usize,
    #[cfg(feature = "gpu")]
    pub(crate) guess_trust: crate::guessed_step::GuessTrust,
    #[cfg(feature = "gpu")]
    pub(crate) guess_holder: crate::guessed_step::GuessHolder,
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
            choices: loaded.config.vocab_size,
            config: loaded.config,
            weights: Rc::new(loaded.weights),
            device: device.clone(),
            matrix_kind: loaded.matrix_kind,
            rope_tables: RopeTableStore::default(),
            #[cfg(feature = "gpu")]
            guess_trust: crate::guessed_step::GuessTrust::default(),
            #[cfg(feature = "gpu")]
            guess_holder: crate::guessed_step::GuessHolder::default(),
        })
    }

    /// The same decoder, whose device chooses among ids below `count` only; 0 leaves every choice to the host.
    #[must_use]
    pub fn choosing_below(self, count: usize) -> Self {
        Self { choices: count.min(self.config.vocab_size), ..self }
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

    /// Allocates a cache for `context_tokens` tokens that are computed at most `chunk_tokens` at a time.
    pub fn new_cache(&self, context_tokens: usize, chunk_tokens: usize) -> Result<KvCache> {
        if context_tokens == 0 || chunk_tokens == 0 {
            return Err(Error::bad_input("a KV cache must hold at least one token, and a step compute at least one"));
        }
        let specs = (0..self.config.layers.len()).map(|layer| self.config.attention_spec(layer, context_tokens, chunk_tokens));
        let tables = self.rope_tables.get(&self.config, &self.device, context_tokens, false);
        Ok(KvCache::new(self.weights.clone(), tables, specs, context_tokens, chunk_tokens, &self.device))
    }

    /// Readies a cache for a sequence that grows to `total_tokens`, and returns how many of its tokens are left: none where rotary frequencies
    /// change with the length of the sequence, and this one comes to the other side.
    pub fn prepare(&self, cache: &mut KvCache, total_tokens: usize) -> usize {
        let is_long = self.config.rope.switch_at().is_some_and(|longest_short| total_tokens > longest_short);
        if is_long != cache.is_long {
            cache.truncate(0);
            cache.is_long = is_long;
            cache.rope_tables = self.rope_tables.get(&self.config, &self.device, cache.capacity(), is_long);
            #[cfg(feature = "gpu")]
            {
                cache.recordings = Default::default();
                cache.guess_step.forget();
            }
        }
        cache.len()
    }

    /// Computes `ids` at the positions after those in the cache, appends their keys and values, and returns logits.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed. [`Decoder::prepare`] comes before.
    pub async fn forward(&self, cache: &mut KvCache, ids: &[u32], logits: LogitsOf) -> Result<Vec<f32>> {
        if ids.is_empty() {
            return Err(Error::bad_input("a step needs at least one token"));
        }
        self.check_step(cache, ids, ids.len())?;
        if ids.len() > cache.chunk() {
            return Err(Error::bad_input(format!(
                "a step of this cache computes at most {} tokens, found {}",
                cache.chunk(),
                ids.len()
            )));
        }
        self.device.settle().await;
        // Before the work: a future that is dropped may have written all the same.
        cache.written = cache.written.max(cache.len() + ids.len());
        #[cfg(feature = "gpu")]
        if let (&[id], LogitsOf::Last, true) = (ids, logits, self.device.is_gpu()) {
            return self.decode_recorded(cache, id).await;
        }
        let tokens = self.padded(ids.len());
        let room = self.room(tokens, cache);
        let step = self.step(write_step(&self.device, cache.len(), ids, room), cache);
        let mut held = Vec::new();
        let weights = cache.weights.clone();
        let layers = &mut cache.layers;
        let hidden = with_room(room, || weights.hidden(layers, &step, tokens, Hold::Nothing, &mut held));
        let rows = match logits {
            LogitsOf::Nothing => {
                cache.len += ids.len();
                return Ok(Vec::new());
            }
            LogitsOf::Last if ids.len() == 1 => hidden,
            LogitsOf::Last => Hidden { x_td: copy_rows(hidden.x_td, ids.len() - 1, 1), ..hidden },
            LogitsOf::All => hidden,
        };
        let mut values = read_f32(&self.device, weights.logits(rows, step.tuning, &mut held)).await?;
        if logits == LogitsOf::All {
            self.device.release_unused(); // their size may not come again
        }
        cache.len += ids.len();
        values.truncate(if logits == LogitsOf::All { ids.len() } else { 1 } * self.config.vocab_size);
        Ok(values)
    }

    /// Computes a step of the first layer only, and logits of its last token. What the cache holds at the step's positions and behind is lost.
    pub(crate) fn first_layer(&self, cache: &mut KvCache, position: usize, ids: &[u32]) -> Tensor<2> {
        let tokens = self.padded(ids.len());
        let room = self.room(tokens, cache);
        let step = self.step(write_step(&self.device, position, ids, room), cache);
        let (weights, mut held) = (cache.weights.clone(), Vec::new());
        let layers = cache.layers.get_mut(..1).unwrap_or_default();
        let hidden = with_room(room, || weights.hidden(layers, &step, tokens, Hold::Nothing, &mut held));
        let row = if tokens == 1 { hidden } else { Hidden { x_td: copy_rows(hidden.x_td, ids.len() - 1, 1), ..hidden } };
        weights.logits(row, step.tuning, &mut held)
    }

    /// Tokens that the device computes at most in one call, each from the one that it chose before; 0 where it can't choose tokens itself.
    pub fn most_in_flight(&self) -> usize {
        if self.choices == 0 || !self.device.is_gpu() {
            return 0;
        }
        #[cfg(feature = "gpu")]
        {
            eyas_kernels::Recording::MAX_IN_FLIGHT
        }
        #[cfg(not(feature = "gpu"))]
        0
    }

    /// Computes `id`, then `count - 1` times the most probable token (the lowest id among equals), without a word from the host in between; returns
    /// the `count` tokens that were chosen. The last of them is not in the cache yet.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed.
    pub async fn decode_greedy(&self, cache: &mut KvCache, id: u32, count: usize) -> Result<Vec<u32>> {
        self.decode_ahead(cache, id, count, None).await
    }

    /// As [`Decoder::decode_greedy`], but each token is drawn; as many as `draws` has units.
    pub async fn decode_drawn(&self, cache: &mut KvCache, id: u32, draws: &Draws<'_>) -> Result<Vec<u32>> {
        self.decode_ahead(cache, id, draws.units.len(), Some(draws)).await
    }

    async fn decode_ahead(&self, cache: &mut KvCache, id: u32, count: usize, draws: Option<&Draws<'_>>) -> Result<Vec<u32>> {
        if count == 0 || count > self.most_in_flight() {
            let most = self.most_in_flight();
            return Err(Error::bad_input(format!(
                "{count} tokens were to be in flight on this device, which allows 1 to {most}"
            )));
        }
        self.check_step(cache, &[id], count)?;
        self.device.settle().await;
        #[cfg(feature = "gpu")]
        {
            let position = cache.len();
            cache.written = cache.written.max(position + count);
            let picked = match draws {
                None => self.recording(cache, id, Choice::Greedy)?.replay_greedy(&self.device, position, id, count).await?,
                Some(draws) => self.recording(cache, id, Choice::Drawn)?.replay_drawn(&self.device, position, id, draws).await?,
            };
            cache.len += count;
            Ok(picked)
        }
        #[cfg(not(feature = "gpu"))]
        {
            let _ = draws;
            Err(Error::internal("a device without a GPU was asked to choose tokens"))
        }
    }

    /// One token through the recorded step.
    #[cfg(feature = "gpu")]
    async fn decode_recorded(&self, cache: &mut KvCache, id: u32) -> Result<Vec<f32>> {
        let position = cache.len();
        let logits = self.recording(cache, id, Choice::Greedy)?.replay(&self.device, position, id).await?;
        cache.len += 1;
        Ok(logits)
    }

    /// The cache's recorded step, which is made at the first token that is chosen in this way on it.
    #[cfg(feature = "gpu")]
    pub(crate) fn recording<'a>(&self, cache: &'a mut KvCache, id: u32, choice: Choice) -> Result<&'a eyas_kernels::Recording> {
        let position = cache.len();
        let at = choice as usize;
        if cache.recordings[at].is_none() {
            let weights = cache.weights.clone();
            let template = self.step(write_step(&self.device, position, &[id], 1), cache);
            let layers = &mut cache.layers;
            let choices = self.choices();
            let recording = eyas_kernels::Recording::capture(&self.device, position, id, choices, choice, |words, held| {
                let step = Step { words, rope_tables: template.rope_tables.clone(), tuning: template.tuning };
                weights.recorded(layers, &step, 1, held)
            })?;
            cache.recordings[at] = Some(Box::new(recording));
        }
        cache.recordings[at].as_deref().ok_or_else(|| Error::internal("the decode step was not recorded"))
    }

    /// Ids that recorded steps choose among: all, where every choice is the host's and nobody asks for theirs.
    #[cfg(feature = "gpu")]
    pub(crate) fn choices(&self) -> usize {
        if self.choices == 0 { self.config.vocab_size } else { self.choices }
    }

    /// Fails where `ids`, and tokens up to `count`, can't be computed behind what is in the cache.
    pub(crate) fn check_step(&self, cache: &KvCache, ids: &[u32], count: usize) -> Result<()> {
        if cache.len() + count > cache.capacity() {
            return Err(Error::new(
                ErrorKind::ContextOverflow,
                format!("{count} tokens do not fit behind {} in a context of {}", cache.len(), cache.capacity()),
            ));
        }
        let is_long = self.config.rope.switch_at().is_some_and(|longest_short| cache.len() + count > longest_short);
        if is_long && !cache.is_long {
            return Err(Error::internal("a sequence became long without its cache being prepared"));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(Error::bad_input(format!("token {id} is outside the vocabulary of {} tokens", self.config.vocab_size)));
        }
        Ok(())
    }

    fn step(&self, words: Tensor<1, Int>, cache: &KvCache) -> Step {
        Step { words, rope_tables: cache.rope_tables.clone(), tuning: self.device.tuning() }
    }

    /// Tokens for which a step of so many gets room: those of a whole chunk where there are several.
    fn room(&self, tokens: usize, cache: &KvCache) -> usize {
        if self.device.is_gpu() && tokens > 1 { self.padded(cache.chunk().min(cache.capacity())) } else { tokens }
    }

    /// See [`padded_tokens`].
    fn padded(&self, tokens: usize) -> usize {
        padded_tokens(&self.device, tokens)
    }
}
