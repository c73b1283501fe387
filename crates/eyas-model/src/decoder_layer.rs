//! One decoder layer: attention and MLP, each behind a normalisation and around a residual.

use burn::{module::Module, tensor::Tensor};

use crate::{
    attention::{Attention, Step},
    kv_cache::LayerCache,
    mlp::Mlp,
    norm::RmsNorm,
};

/// A pre-norm decoder layer, `[t, d]` to `[t, d]`.
#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: Attention,
    pub(crate) mlp_norm: RmsNorm,
    pub(crate) mlp: Mlp,
}

impl DecoderLayer {
    /// Adds the layer's contributions to the residual stream. On a GPU the stream's buffer is updated in place.
    pub(crate) fn forward(&self, x_td: Tensor<2>, cache: &mut LayerCache, step: &Step, held: &mut Vec<Tensor<2>>) -> Tensor<2> {
        let normed = self.attention_norm.forward(x_td.clone(), step.tuning);
        held.push(normed.clone());
        let x_td = self.attention.forward(normed, x_td, cache, step, held);
        let normed = self.mlp_norm.forward(x_td.clone(), step.tuning);
        held.push(normed.clone());
        self.mlp.forward(normed, x_td, step.tuning, held)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.attention_norm.bytes() + self.attention.bytes() + self.mlp_norm.bytes() + self.mlp.bytes()
    }
}
