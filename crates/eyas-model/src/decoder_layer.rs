//! One decoder layer: attention and MLP around a residual stream.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::Tuning;

use crate::{
    attention::{Attention, Step},
    kv_cache::LayerCache,
    mlp::Mlp,
    norm::RmsNorm,
    residual_join::Stream,
};

/// A decoder layer, `[t, d]` to `[t, d]`.
#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    /// Absent where attention takes the residual stream as it is.
    pub(crate) attention_norm: Option<RmsNorm>,
    pub(crate) attention: Attention,
    /// Absent where the MLP takes the residual stream as it is.
    pub(crate) mlp_norm: Option<RmsNorm>,
    pub(crate) mlp: Mlp,
}

impl DecoderLayer {
    /// Adds the layer's contributions to the residual stream. On a GPU the stream's buffer is updated in place.
    pub(crate) fn forward(&self, stream: Stream, cache: &mut LayerCache, step: &Step, held: &mut Vec<Tensor<2>>) -> Stream {
        let (residual, normed) = input(stream, self.attention_norm.as_ref(), step.tuning, held);
        let stream = self.attention.forward(normed, residual, cache, step, held);
        let (residual, normed) = input(stream, self.mlp_norm.as_ref(), step.tuning, held);
        self.mlp.forward(normed, residual, step.tuning, held)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let norms = self.attention_norm.iter().chain(&self.mlp_norm).map(RmsNorm::bytes).sum::<u64>();
        norms + self.attention.bytes() + self.mlp.bytes()
    }
}

/// The residual stream and what a half of the layer takes from it: what the join before has normalised, or what `norm` makes of it.
fn input(stream: Stream, norm: Option<&RmsNorm>, tuning: Tuning, held: &mut Vec<Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
    let Stream { residual, normed } = stream;
    let normed = match (normed, norm) {
        (Some(normed), _) => normed,
        (None, None) => residual.clone(),
        (None, Some(norm)) => {
            let normed = norm.forward(residual.clone(), tuning);
            held.push(normed.clone());
            normed
        }
    };
    (residual, normed)
}
