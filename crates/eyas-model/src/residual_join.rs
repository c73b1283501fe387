//! The way of a contribution into the residual stream, where it is more than a sum.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{ResidualSpec, Tuning, residual_norm};

/// The residual stream between two halves of a layer.
pub(crate) struct Stream {
    /// `[t, d]`.
    pub(crate) residual: Tensor<2>,
    /// The same, normalised for what comes next, where the join before has done that.
    pub(crate) normed: Option<Tensor<2>>,
}

/// Adds a normalised or scaled contribution, and normalises for what comes next in the same pass; see [`eyas_kernels::residual_norm`].
#[derive(Module, Debug)]
pub(crate) struct ResidualJoin {
    pub(crate) post_weight: Tensor<1>,
    /// The weight of the normalisation that comes next; that owns it.
    pub(crate) next_weight: Tensor<1>,
    #[module(skip)]
    pub(crate) spec: ResidualSpec,
}

impl ResidualJoin {
    /// `residual` and `x` `[t, d]` become the stream. What is new is pushed into `held`.
    pub(crate) fn forward(&self, residual: Tensor<2>, x: Tensor<2>, tuning: Tuning, held: &mut Vec<Tensor<2>>) -> Stream {
        let (post, next) = (self.post_weight.clone(), self.next_weight.clone());
        let (residual, normed) = residual_norm(residual, x, post, next, self.spec, tuning);
        let normed = self.spec.next_epsilon().map(|_| normed);
        held.extend(normed.clone());
        Stream { residual, normed }
    }

    pub(crate) fn bytes(&self) -> u64 {
        if self.spec.post_epsilon().is_some() { self.post_weight.dims()[0] as u64 * 4 } else { 0 }
    }
}
