//! An encoder's embeddings, layers and head as modules.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{AttentionSpec, ResidualSpec, residual_norm};

use crate::{
    classifier_head::ClassifierHead,
    encoder_layer::{EncoderLayer, EncoderStep},
    kv_cache::LayerCache,
    layer_norm::LayerNorm,
    linear::Linear,
};

/// The weights as Burn modules.
#[derive(Module, Debug)]
pub(crate) struct EncoderWeights {
    pub(crate) words: Linear,
    /// What is added to the word at each position of a single text, `[positions, d]`, where there is such a table.
    pub(crate) positions: Option<Tensor<2>>,
    /// How the embedding of each token type differs from that of the first, `[types, d]`, where there are several.
    pub(crate) types: Option<Linear>,
    pub(crate) embeddings_norm: LayerNorm,
    pub(crate) layers: Vec<EncoderLayer>,
    /// Behind the last layer, where its own normalisations stand before its halves.
    pub(crate) final_norm: Option<LayerNorm>,
    pub(crate) head: Option<ClassifierHead>,
    /// Stands where a sum has weights of normalisations, `[1]`.
    pub(crate) no_norms: Tensor<1>,
}

impl EncoderWeights {
    /// The last layer's states, `[tokens, d]`. `specs` has a layer's attention each; `scratch` takes keys and values.
    pub(crate) fn hidden(
        &self,
        step: &EncoderStep,
        tokens: usize,
        specs: impl Iterator<Item = AttentionSpec>,
        scratch: &mut LayerCache,
    ) -> Tensor<2> {
        let mut words = self.words.rows(step.words.clone(), tokens, 1.0);
        if let (Some(table), Some(types)) = (&self.types, &step.types) {
            let of_types = table.rows(types.clone(), tokens, 1.0);
            let unused = || self.no_norms.clone();
            (words, _) = residual_norm(words, of_types, unused(), unused(), ResidualSpec::new(1.0), step.tuning);
        }
        let mut x_td = self.embeddings_norm.forward(words, self.positions.clone(), step.tuning);
        for (layer, spec) in self.layers.iter().zip(specs) {
            x_td = layer.forward(x_td, scratch, spec, step);
        }
        match &self.final_norm {
            None => x_td,
            Some(norm) => norm.forward(x_td, None, step.tuning),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let positions = self.positions.as_ref().map_or(0, |table| table.dims().iter().product::<usize>() as u64 * 4);
        let layers: u64 = self.layers.iter().map(EncoderLayer::bytes).sum();
        let norms: u64 = self.final_norm.iter().chain([&self.embeddings_norm]).map(LayerNorm::bytes).sum();
        let matrices: u64 = self.types.iter().chain([&self.words]).map(Linear::bytes).sum();
        matrices + positions + norms + layers + self.head.as_ref().map_or(0, ClassifierHead::bytes)
    }
}
