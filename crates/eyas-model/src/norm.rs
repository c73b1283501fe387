//! Root-mean-square normalisation as a module.

use burn::{module::Module, tensor::Tensor};
use eyas_kernels::{KernelDevice, Tuning, rms_norm};

/// `y = x / √(mean(x²) + ε) · weight`, `[t, d]` to `[t, d]` (arXiv 1910.07467).
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    weight_d: Tensor<1>,
    epsilon: f32,
}

impl RmsNorm {
    pub(crate) fn new(weight: Vec<f32>, epsilon: f32, device: &KernelDevice) -> Self {
        let d = weight.len();
        Self { weight_d: device.floats(weight, [d]), epsilon }
    }

    pub(crate) fn forward(&self, x_td: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        rms_norm(x_td, self.weight_d.clone(), self.epsilon, tuning)
    }

    /// The weight, `[d]`.
    pub(crate) fn weight(&self) -> Tensor<1> {
        self.weight_d.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.weight_d.dims()[0] as u64 * 4
    }
}
