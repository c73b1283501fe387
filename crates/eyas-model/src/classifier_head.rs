//! A sequence-classification head as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{Activation, Tuning, activate};

use crate::linear::Linear;

/// `out(act(dense(x)))` of the first token's state: `[1, d]` to `[1, labels]`.
#[derive(Module, Debug)]
pub(crate) struct ClassifierHead {
    pub(crate) dense: Linear,
    pub(crate) out: Linear,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl ClassifierHead {
    pub(crate) fn forward(&self, x_1d: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        self.out.forward(activate(self.dense.forward(x_1d, tuning), self.activation), tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.dense.bytes() + self.out.bytes()
    }
}
