//! One encoder layer: attention and MLP around a residual stream.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{Activation, AttentionSpec, RopeSpec, Tuning, activate, attention, rope_append};

use crate::{kv_cache::LayerCache, layer_norm::LayerNorm, linear::Linear};

/// What all layers of one text share.
pub(crate) struct EncoderStep {
    /// `[0, tokens, ids…]`.
    pub(crate) words: Tensor<1, Int>,
    /// `[0, tokens, types…]`, where they are not all the first.
    pub(crate) types: Option<Tensor<1, Int>>,
    pub(crate) tuning: Tuning,
}

/// An encoder layer, `[t, d]` to `[t, d]`, with its normalisations behind its halves, `y = norm(x + output(attention(x)))`, then
/// `norm(y + down(act(up(y))))` (arXiv 1706.03762, 1810.04805); or before them, `y = x + output(attention(norm(x)))`, then
/// `y + down(act(gate(norm(y))) · up(norm(y)))` (arXiv 2412.13663).
#[derive(Module, Debug)]
pub(crate) struct EncoderLayer {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    /// Absent where there is nothing to normalise: attention takes the stream as it is.
    pub(crate) attention_norm: Option<LayerNorm>,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) mlp_norm: LayerNorm,
    /// The table of rotations, `[positions, head_dim]`; `[1, 1]` where there is none.
    pub(crate) rotations: Tensor<2>,
    /// Stands where a decoder has weights of norms of queries and keys, `[1]`.
    pub(crate) no_norms: Tensor<1>,
    #[module(skip)]
    pub(crate) rope: RopeSpec,
    #[module(skip)]
    pub(crate) activation: Activation,
    #[module(skip)]
    pub(crate) is_pre_norm: bool,
}

impl EncoderLayer {
    /// `scratch` takes the keys and values, which no later layer needs.
    pub(crate) fn forward(
        &self,
        x_td: Tensor<2>,
        scratch: &mut LayerCache,
        spec: AttentionSpec,
        step: &EncoderStep,
    ) -> Tensor<2> {
        let tuning = step.tuning;
        if self.is_pre_norm {
            let normed = match &self.attention_norm {
                None => x_td.clone(),
                Some(norm) => norm.forward(x_td.clone(), None, tuning),
            };
            let mixed = self.mixed(normed, scratch, spec, step);
            let y_td = self.output.forward_add(mixed, x_td, tuning);
            let normed = self.mlp_norm.forward(y_td.clone(), None, tuning);
            let hidden = self.up.forward_gated(normed, self.activation, tuning);
            return self.down.forward_add(hidden, y_td, tuning);
        }
        let mixed = self.mixed(x_td.clone(), scratch, spec, step);
        let y_td = match &self.attention_norm {
            None => self.output.forward_add(mixed, x_td, tuning),
            Some(norm) => norm.forward(self.output.forward(mixed, tuning), Some(x_td), tuning),
        };
        let hidden = activate(self.up.forward(y_td.clone(), tuning), self.activation);
        self.mlp_norm.forward(self.down.forward(hidden, tuning), Some(y_td), tuning)
    }

    /// Attention before its output projection.
    fn mixed(&self, x_td: Tensor<2>, scratch: &mut LayerCache, spec: AttentionSpec, step: &EncoderStep) -> Tensor<2> {
        let qkv = self.qkv.forward(x_td, step.tuning);
        let q = scratch.append(|keys, values| {
            let (table, weights) = (self.rotations.clone(), self.no_norms.clone());
            rope_append(qkv, table, weights, step.words.clone(), keys, values, self.rope, spec, step.tuning)
        });
        attention(q, scratch.keys(), scratch.values(), step.words.clone(), spec, step.tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let matrices = [&self.qkv, &self.output, &self.up, &self.down].map(Linear::bytes);
        let norms = self.attention_norm.iter().chain([&self.mlp_norm]).map(LayerNorm::bytes).sum::<u64>();
        matrices.iter().sum::<u64>() + norms
    }
}
