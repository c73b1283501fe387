//! The KV cache: preallocated keys and values of every layer, written in place.

use std::rc::Rc;

use burn::tensor::Tensor;
use eyas_core::Result;
use eyas_kernels::{KernelDevice, copy_rows};

use crate::decoder::Weights;

/// Keys and values of one layer, `[context, kv_width]` each.
#[derive(Debug)]
pub(crate) struct LayerCache {
    /// Present except while [`LayerCache::append`] runs: ownership passes through the kernel so that a CPU tensor stays unshared.
    pair: Option<(Tensor<2>, Tensor<2>)>,
}

impl LayerCache {
    fn new(keys: Tensor<2>, values: Tensor<2>) -> Self {
        Self { pair: Some((keys, values)) }
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

/// Keys and values of a sequence, for at most [`KvCache::capacity`] tokens.
pub struct KvCache {
    pub(crate) layers: Vec<LayerCache>,
    pub(crate) len: usize,
    capacity: usize,
    kv_width: usize,
    device: KernelDevice,
    pub(crate) rope_table: Tensor<2>,
    /// The weights that a recording's launches read must live as long as the recording.
    pub(crate) weights: Rc<Weights>,
    /// The recorded decode step, made at the first token decoded on this cache.
    #[cfg(feature = "gpu")]
    pub(crate) recording: Option<eyas_kernels::Recording>,
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvCache").field("len", &self.len).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl KvCache {
    pub(crate) fn new(
        weights: Rc<Weights>,
        rope_table: Tensor<2>,
        capacity: usize,
        kv_width: usize,
        device: &KernelDevice,
    ) -> Self {
        let zeros = || device.floats(vec![0.0; capacity * kv_width], [capacity, kv_width]);
        let layers = (0..weights.layer_count()).map(|_| LayerCache::new(zeros(), zeros())).collect();
        Self {
            layers,
            len: 0,
            capacity,
            kv_width,
            device: device.clone(),
            rope_table,
            weights,
            #[cfg(feature = "gpu")]
            recording: None,
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

    /// Forgets the tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes of keys and values on the device.
    pub fn bytes(&self) -> u64 {
        2 * self.layers.len() as u64 * self.capacity as u64 * self.kv_width as u64 * 4
    }

    /// A second cache with the same tokens; the two then go their own ways.
    pub async fn fork(&self) -> Result<Self> {
        self.device.settle().await;
        let upload = self.device.begin_upload();
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                LayerCache::new(
                    copy_rows(layer.keys(), 0, self.len, self.capacity),
                    copy_rows(layer.values(), 0, self.len, self.capacity),
                )
            })
            .collect();
        upload.finish().await?;
        Ok(Self {
            layers,
            len: self.len,
            capacity: self.capacity,
            kv_width: self.kv_width,
            device: self.device.clone(),
            rope_table: self.rope_table.clone(),
            weights: self.weights.clone(),
            #[cfg(feature = "gpu")]
            recording: None,
        })
    }
}
