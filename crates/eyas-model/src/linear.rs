//! A packed matrix as a module: projection and embedding.

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use eyas_kernels::{Activation, KernelDevice, MatrixSpec, Tuning, embed, matmul, matmul_add, matmul_gated, upload_matrix};
use eyas_weights::PackedRows;

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
    /// Uploads a matrix. `bias` has `rows` values where `spec.has_bias`.
    pub(crate) fn new(packed: PackedRows, bias: Option<Vec<f32>>, spec: MatrixSpec, device: &KernelDevice) -> Self {
        let (words, scales) = upload_matrix(device, packed.words, packed.scales, spec);
        let bias = bias.unwrap_or_else(|| vec![0.0]);
        let bias_len = bias.len();
        Self { words, scales, bias: device.floats(bias, [bias_len]), spec }
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
