//! The gated MLP as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{Activation, Tuning};

use crate::{
    linear::Linear,
    residual_join::{ResidualJoin, Stream},
};

/// `down(act(gate(x)) · up(x))` (arXiv 2002.05202).
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    /// Absent where the contribution is just added.
    pub(crate) join: Option<ResidualJoin>,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl Mlp {
    /// The stream `[t, d]` after `mlp(x)` joined it. Every activation is pushed into `held`.
    pub(crate) fn forward(&self, x_td: Tensor<2>, residual_td: Tensor<2>, tuning: Tuning, held: &mut Vec<Tensor<2>>) -> Stream {
        let hidden = self.gate_up.forward_gated(x_td, self.activation, tuning);
        held.push(hidden.clone());
        match &self.join {
            None => Stream { residual: self.down.forward_add(hidden, residual_td, tuning), normed: None },
            Some(join) => {
                let x = self.down.forward(hidden, tuning);
                held.push(x.clone());
                join.forward(residual_td, x, tuning, held)
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.gate_up.bytes() + self.down.bytes() + self.join.as_ref().map_or(0, ResidualJoin::bytes)
    }
}
