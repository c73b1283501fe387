//! A sequence-classification head as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{Activation, Tuning, activate};

use crate::{layer_norm::LayerNorm, linear::Linear};

/// `out(norm(act(dense(x))))` of a text's state: `[1, d]` to `[1, labels]`.
#[derive(Module, Debug)]
pub(crate) struct ClassifierHead {
    pub(crate) dense: Linear,
    pub(crate) norm: Option<LayerNorm>,
    pub(crate) out: Linear,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl ClassifierHead {
    pub(crate) fn forward(&self, x_1d: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        let hidden = activate(self.dense.forward(x_1d, tuning), self.activation);
        let normed = match &self.norm {
            None => hidden,
            Some(norm) => norm.forward(hidden, None, tuning),
        };
        self.out.forward(normed, tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.dense.bytes() + self.norm.as_ref().map_or(0, LayerNorm::bytes) + self.out.bytes()
    }
}
