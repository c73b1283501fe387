//! Normalisation by mean and variance as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{KernelDevice, Tuning, layer_norm};

/// `y = (s - mean(s)) / √(var(s) + ε) · weight + bias` with `s = x + added`, or `s = x`, `[t, d]` to `[t, d]` (arXiv 1607.06450).
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    weight_d: Tensor<1>,
    bias_d: Tensor<1>,
    epsilon: f32,
}

impl LayerNorm {
    pub(crate) fn new(weight: Vec<f32>, bias: Vec<f32>, epsilon: f32, device: &KernelDevice) -> Self {
        let d = weight.len();
        Self { weight_d: device.floats(weight, [d]), bias_d: device.floats(bias, [d]), epsilon }
    }

    pub(crate) fn forward(&self, x_td: Tensor<2>, added_rd: Option<Tensor<2>>, tuning: Tuning) -> Tensor<2> {
        layer_norm(x_td, added_rd, self.weight_d.clone(), self.bias_d.clone(), self.epsilon, tuning)
    }

    pub(crate) fn bytes(&self) -> u64 {
        2 * self.weight_d.dims()[0] as u64 * 4
    }
}
