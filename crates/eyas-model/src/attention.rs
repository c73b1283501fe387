//! Self-attention with grouped queries as a module.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{AttentionSpec, RopeSpec, Tuning, attention, rope_append};

use crate::{kv_cache::LayerCache, linear::Linear};

/// What every layer of one step shares.
pub(crate) struct Step {
    /// `[position, tokens, ids…]`.
    pub(crate) words: Tensor<1, Int>,
    /// `[context, head_dim]`, see [`eyas_kernels::rope_append`].
    pub(crate) rope_table: Tensor<2>,
    pub(crate) rope: RopeSpec,
    pub(crate) attention: AttentionSpec,
    pub(crate) tuning: Tuning,
}

/// Fused query, key and value projection, rotary embedding, cache append, attention and output projection.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    /// See [`eyas_kernels::QkNorm`]; one value where there is none.
    pub(crate) qk_norm_weights: Tensor<1>,
}

impl Attention {
    /// `residual + attention(x)`, both `[t, d]`. Every activation is pushed into `held`.
    pub(crate) fn forward(
        &self,
        x_td: Tensor<2>,
        residual_td: Tensor<2>,
        cache: &mut LayerCache,
        step: &Step,
        held: &mut Vec<Tensor<2>>,
    ) -> Tensor<2> {
        let qkv = self.qkv.forward(x_td, step.tuning);
        held.push(qkv.clone());
        let q = cache.append(|k_cache, v_cache| {
            let (table, weights) = (step.rope_table.clone(), self.qk_norm_weights.clone());
            rope_append(qkv, table, weights, step.words.clone(), k_cache, v_cache, step.rope, step.attention, step.tuning)
        });
        held.push(q.clone());
        let mixed = attention(q, cache.keys(), cache.values(), step.words.clone(), step.attention, step.tuning);
        held.push(mixed.clone());
        self.output.forward_add(mixed, residual_td, step.tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.qkv.bytes() + self.output.bytes()
    }
}
