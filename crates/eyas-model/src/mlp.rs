//! The gated MLP as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{Activation, Tuning};

use crate::linear::Linear;

/// `down(act(gate(x)) · up(x))` (arXiv 2002.05202).
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl Mlp {
    /// `residual + mlp(x)`, both `[t, d]`. Every activation is pushed into `held`.
    pub(crate) fn forward(
        &self,
        x_td: Tensor<2>,
        residual_td: Tensor<2>,
        tuning: Tuning,
        held: &mut Vec<Tensor<2>>,
    ) -> Tensor<2> {
        let hidden = self.gate_up.forward_gated(x_td, self.activation, tuning);
        held.push(hidden.clone());
        self.down.forward_add(hidden, residual_td, tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.gate_up.bytes() + self.down.bytes()
    }
}
