//! The KV cache: preallocated keys and values of every layer, written in place.

use std::rc::Rc;

use burn::tensor::Tensor;
use eyas_core::Result;
use eyas_kernels::{AttentionSpec, KernelDevice, copy_cache};

use crate::{decoder::Weights, rope_tables::RopeTables};

/// Keys of one layer, `[spec.cache_rows(), head_dim]`, and its values as the device holds them ([`KernelDevice::value_strip`]).
#[derive(Debug)]
pub(crate) struct LayerCache {
    pub(crate) spec: AttentionSpec,
    /// Present except while [`LayerCache::append`] runs: ownership passes through the kernel so that a CPU tensor stays unshared.
    pair: Option<(Tensor<2>, Tensor<2>)>,
}

impl LayerCache {
    fn new(spec: AttentionSpec, keys: Tensor<2>, values: Tensor<2>) -> Self {
        Self { spec, pair: Some((keys, values)) }
    }

    /// Room for keys and values; none is read before it is written.
    pub(crate) fn empty(spec: AttentionSpec, device: &KernelDevice) -> Self {
        let values = spec.cache_rows() * spec.head_dim;
        let room = |width: usize| device.unwritten([values / width, width]);
        Self::new(spec, room(spec.head_dim), room(device.value_strip(spec)))
    }

    /// Bytes of keys and values.
    fn bytes(&self) -> u64 {
        2 * (self.spec.cache_rows() * self.spec.head_dim) as u64 * 4
    }

    /// Whether everything that the token at `position` sees is still there after positions up to `written` were.
    fn holds_window_of(&self, position: usize, written: usize) -> bool {
        self.spec.window.is_none() || self.spec.first_visible(position) >= written.saturating_sub(self.spec.context)
    }

    /// Lets `write` update keys and values; returns the first thing that it returns.
    pub(crate) fn append<R>(&mut self, write: impl FnOnce(Tensor<2>, Tensor<2>) -> (R, Tensor<2>, Tensor<2>)) -> R {
        let Some((keys, values)) = self.pair.take() else {
            unreachable!("a layer's cache is put back by the append that took it");
        };
        let (result, keys, values) = write(keys, values);
        self.pair = Some((keys, values));
        result
    }

    fn pair(&self) -> &(Tensor<2>, Tensor<2>) {
        match &self.pair {
            Some(pair) => pair,
            None => unreachable!("a layer's cache is put back by the append that took it"),
        }
    }

    pub(crate) fn keys(&self) -> Tensor<2> {
        self.pair().0.clone()
    }

    pub(crate) fn values(&self) -> Tensor<2> {
        self.pair().1.clone()
    }
}

/// Keys and values of a sequence, for at most [`KvCache::capacity`] tokens. A layer with a window keeps the last positions only.
pub struct KvCache {
    pub(crate) layers: Vec<LayerCache>,
    pub(crate) len: usize,
    /// One behind the last position that was ever written since the cache was empty: what lies a cache's length before it is overwritten.
    pub(crate) written: usize,
    capacity: usize,
    /// Tokens of one step at most.
    pub(crate) chunk: usize,
    /// Whether keys were rotated as those of a long sequence; see [`crate::Rope::switch_at`].
    pub(crate) is_long: bool,
    device: KernelDevice,
    pub(crate) rope_tables: RopeTables,
    /// The weights that a recording's launches read must live as long as the recording.
    pub(crate) weights: Rc<Weights>,
    /// The recorded decode steps, one for each [`eyas_kernels::Choice`], made at the first token of that kind on this cache.
    #[cfg(feature = "gpu")]
    pub(crate) recordings: [Option<Box<eyas_kernels::Recording>>; 2],
    #[cfg(feature = "gpu")]
    pub(crate) guess_step: Rc<crate::guessed_step::GuessStep>,
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvCache").field("len", &self.len).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl KvCache {
    /// An empty cache whose layers have these shapes.
    pub(crate) fn new(
        weights: Rc<Weights>,
        rope_tables: RopeTables,
        specs: impl Iterator<Item = AttentionSpec>,
        capacity: usize,
        chunk: usize,
        device: &KernelDevice,
    ) -> Self {
        Self {
            layers: specs.map(|spec| LayerCache::empty(spec, device)).collect(),
            len: 0,
            written: 0,
            capacity,
            chunk,
            is_long: false,
            device: device.clone(),
            rope_tables,
            weights,
            #[cfg(feature = "gpu")]
            recordings: Default::default(),
            #[cfg(feature = "gpu")]
            guess_step: Rc::default(),
        }
    }

    /// Tokens whose keys and values are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens that one step computes at most.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Forgets the tokens from `len` on, and returns how many are left: none where a layer's window reaches back to positions that were
    /// overwritten.
    pub fn truncate(&mut self, len: usize) -> usize {
        let len = self.len.min(len);
        // Also where all of them stay: a step that was given up may have written behind them.
        let is_whole = self.layers.iter().all(|layer| layer.holds_window_of(len, self.written));
        self.len = if is_whole { len } else { 0 };
        if self.len == 0 {
            self.written = 0;
        }
        self.len
    }

    /// Bytes of keys and values on the device.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(LayerCache::bytes).sum()
    }

    /// A second cache with the same tokens; the two then go their own ways.
    pub async fn fork(&self) -> Result<Self> {
        self.device.settle().await;
        let upload = self.device.begin_upload();
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let used = layer.spec.context.min(self.written);
                let copy = |cache| copy_cache(cache, used, layer.spec);
                LayerCache::new(layer.spec, copy(layer.keys()), copy(layer.values()))
            })
            .collect();
        if let Err(error) = upload.finish().await {
            drop::<Vec<_>>(layers);
            self.device.release_unused(); // a buffer that was refused must not serve another time
            return Err(error);
        }
        Ok(Self {
            layers,
            len: self.len,
            written: self.written,
            capacity: self.capacity,
            chunk: self.chunk,
            is_long: self.is_long,
            device: self.device.clone(),
            rope_tables: self.rope_tables.clone(),
            weights: self.weights.clone(),
            #[cfg(feature = "gpu")]
            recordings: Default::default(),
            #[cfg(feature = "gpu")]
            guess_step: Rc::default(),
        })
    }
}
