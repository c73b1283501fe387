//! A packed matrix as a module: projection and embedding.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{Activation, KernelDevice, MatrixSpec, MatrixUpload, Tuning, embed, matmul, matmul_add, matmul_gated};

/// `y = x · Wᵀ (+ bias)` with a packed `W` `[rows, cols]`: `[t, cols]` to `[t, rows]`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    words: Tensor<2, Int>,
    scales: Tensor<1>,
    bias: Tensor<1>,
    #[module(skip)]
    spec: MatrixSpec,
}

impl Linear {
    /// Of a matrix whose rows were all sent. `bias` has `rows` values where `spec.has_bias`.
    pub(crate) fn new(upload: MatrixUpload, bias: Option<Vec<f32>>, spec: MatrixSpec, device: &KernelDevice) -> Self {
        let (words, scales) = upload.finish();
        let bias = match bias {
            None => device.unused(),
            Some(bias) => {
                let rows = bias.len();
                device.floats(bias, [rows])
            }
        };
        Self { words, scales, bias, spec }
    }

    pub(crate) fn forward(&self, x_tk: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        matmul(self.words.clone(), self.scales.clone(), self.bias.clone(), x_tk, self.spec, tuning)
    }

    /// `residual + forward(x)`.
    pub(crate) fn forward_add(&self, x_tk: Tensor<2>, residual_tn: Tensor<2>, tuning: Tuning) -> Tensor<2> {
        matmul_add(self.words.clone(), self.scales.clone(), self.bias.clone(), x_tk, residual_tn, self.spec, tuning)
    }

    /// Gate rows first, then up rows.
    pub(crate) fn forward_gated(&self, x_tk: Tensor<2>, activation: Activation, tuning: Tuning) -> Tensor<2> {
        matmul_gated(self.words.clone(), self.scales.clone(), self.bias.clone(), x_tk, activation, self.spec, tuning)
    }

    /// The rows that the step's ids name, times `scale`, `[tokens, cols]`.
    pub(crate) fn rows(&self, step: Tensor<1, Int>, tokens: usize, scale: f32) -> Tensor<2> {
        embed(self.words.clone(), self.scales.clone(), step, tokens, scale, self.spec)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.spec.bytes()
    }
}
