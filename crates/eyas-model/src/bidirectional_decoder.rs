//! A decoder's layers as an encoder's: every token sees what stands behind it too.

use burn::tensor::Tensor;
use eyas_core::{Result, WeightKind};
use eyas_kernels::{AttentionSpec, KernelDevice, Uploads};
use eyas_weights::Checkpoint;

use crate::{
    DecoderConfig, LoadPlan, attention::Step, decoder::Weights, encoder_layer::EncoderStep, kv_cache::LayerCache, loader,
    residual_join::Stream, rope_tables::RopeTables,
};

/// Gemma 3's layers over a whole text (EmbeddingGemma, arXiv 2509.20354).
#[derive(Debug)]
pub(crate) struct BidirectionalDecoder {
    weights: Weights,
    rope_tables: RopeTables,
}

impl BidirectionalDecoder {
    /// Reads and uploads everything, for texts of at most `max_tokens` tokens; returns the kind of most matrices too.
    pub(crate) async fn load(
        checkpoint: &Checkpoint,
        config: DecoderConfig,
        max_tokens: usize,
        device: &KernelDevice,
        plan: &LoadPlan<'_>,
    ) -> Result<(Self, WeightKind)> {
        let loaded = loader::load(checkpoint, config, device, plan).await?;
        let global = loaded.config.rope.clone();
        let local = loaded.config.local_rope.clone().unwrap_or_else(|| global.clone());
        let make = || RopeTables::of_encoder(&(global, local), loaded.config.rotary_dim, max_tokens, device);
        let mut uploads = Uploads::new(device);
        let rope_tables = Box::pin(uploads.send("rotations", make)).await?;
        uploads.finish().await?;
        Ok((Self { weights: loaded.weights, rope_tables }, loaded.matrix_kind))
    }

    /// The states behind the final normalisation, `[tokens, d]`. `specs` has a layer's attention each; `scratch` takes keys and values.
    pub(crate) fn hidden(
        &self,
        step: EncoderStep,
        tokens: usize,
        specs: impl Iterator<Item = AttentionSpec>,
        scratch: &mut LayerCache,
    ) -> Tensor<2> {
        let x_td = self.weights.embedding.rows(step.words.clone(), tokens, self.weights.embedding_scale);
        let step = Step { words: step.words, rope_tables: self.rope_tables.clone(), tuning: step.tuning };
        let mut stream = Stream { residual: x_td, normed: None };
        let mut held = Vec::new();
        for (layer, spec) in self.weights.layers.iter().zip(specs) {
            scratch.spec = spec;
            stream = layer.forward(stream, scratch, &step, &mut held);
            held.clear();
        }
        match stream.normed {
            Some(normed) => normed,
            None => self.weights.final_norm.forward(stream.residual, step.tuning),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.weights.bytes()
    }
}
