//! Self-attention with grouped queries as a module.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{RopeSpec, Tuning, append_attention};

use crate::{
    kv_cache::LayerCache,
    linear::Linear,
    residual_join::{ResidualJoin, Stream},
    rope_tables::RopeTables,
};

/// What every layer of one step shares.
pub(crate) struct Step {
    /// `[position, tokens, ids…]`.
    pub(crate) words: Tensor<1, Int>,
    pub(crate) rope_tables: RopeTables,
    pub(crate) tuning: Tuning,
}

/// Fused query, key and value projection, rotary embedding, cache append, attention and output projection.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    /// See [`eyas_kernels::QkNorm`]; one value where there is none.
    pub(crate) qk_norm_weights: Tensor<1>,
    /// Absent where the contribution is just added.
    pub(crate) join: Option<ResidualJoin>,
    #[module(skip)]
    pub(crate) rope: RopeSpec,
    #[module(skip)]
    pub(crate) uses_local_rope: bool,
}

impl Attention {
    /// The stream `[t, d]` after `attention(x)` joined it. Every activation is pushed into `held`.
    pub(crate) fn forward(
        &self,
        x_td: Tensor<2>,
        residual_td: Tensor<2>,
        cache: &mut LayerCache,
        step: &Step,
        held: &mut Vec<Tensor<2>>,
    ) -> Stream {
        let qkv = self.qkv.forward(x_td, step.tuning);
        held.push(qkv.clone());
        let spec = cache.spec;
        let mixed = cache.append(|k_cache, v_cache| {
            let (table, weights) = (step.rope_tables.of(self.uses_local_rope), self.qk_norm_weights.clone());
            let (mixed, between, k_cache, v_cache) =
                append_attention(qkv, table, weights, step.words.clone(), k_cache, v_cache, self.rope, spec, step.tuning);
            held.push(between);
            (mixed, k_cache, v_cache)
        });
        held.push(mixed.clone());
        match &self.join {
            None => Stream { residual: self.output.forward_add(mixed, residual_td, step.tuning), normed: None },
            Some(join) => {
                let x = self.output.forward(mixed, step.tuning);
                held.push(x.clone());
                join.forward(residual_td, x, step.tuning, held)
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let norms = if self.rope.qk_norm == eyas_kernels::QkNorm::None { 0 } else { self.qk_norm_weights.dims()[0] as u64 * 4 };
        self.qkv.bytes() + self.output.bytes() + norms + self.join.as_ref().map_or(0, ResidualJoin::bytes)
    }
}
