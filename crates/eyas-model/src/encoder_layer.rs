//! One encoder layer: attention and MLP, each with its normalisation behind it.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{Activation, RopeSpec, Tuning, activate, attention, rope_append};

use crate::{kv_cache::LayerCache, layer_norm::LayerNorm, linear::Linear};

/// `y = norm(x + output(attention(x)))`, then `norm(y + down(act(up(y))))` (arXiv 1706.03762, 1810.04805): `[t, d]` to `[t, d]`.
#[derive(Module, Debug)]
pub(crate) struct EncoderLayer {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) mlp_norm: LayerNorm,
    /// Stands where a decoder has its table of rotations, `[1, 1]`.
    pub(crate) no_rotations: Tensor<2>,
    /// Stands where a decoder has weights of norms of queries and keys, `[1]`.
    pub(crate) no_norms: Tensor<1>,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl EncoderLayer {
    /// `scratch` takes the keys and values, which no later layer needs; `step` is `[0, tokens, ids…]`.
    pub(crate) fn forward(&self, x_td: Tensor<2>, scratch: &mut LayerCache, step: &Tensor<1, Int>, tuning: Tuning) -> Tensor<2> {
        let qkv = self.qkv.forward(x_td.clone(), tuning);
        let spec = scratch.spec;
        let q = scratch.append(|keys, values| {
            let (table, weights) = (self.no_rotations.clone(), self.no_norms.clone());
            rope_append(qkv, table, weights, step.clone(), keys, values, RopeSpec::new(0), spec, tuning)
        });
        let mixed = attention(q, scratch.keys(), scratch.values(), step.clone(), spec, tuning);
        let y_td = self.attention_norm.forward(self.output.forward(mixed, tuning), x_td, tuning);
        let hidden = activate(self.up.forward(y_td.clone(), tuning), self.activation);
        self.mlp_norm.forward(self.down.forward(hidden, tuning), y_td, tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let matrices = [&self.qkv, &self.output, &self.up, &self.down].map(Linear::bytes);
        matrices.iter().sum::<u64>() + self.attention_norm.bytes() + self.mlp_norm.bytes()
    }
}
