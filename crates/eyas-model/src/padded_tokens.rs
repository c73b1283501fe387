//! How many tokens a step computes.

use eyas_kernels::KernelDevice;

/// Tokens that kernels compute for `tokens` real ones: a GPU's threads take several each.
pub(crate) fn padded_tokens(device: &KernelDevice, tokens: usize) -> usize {
    if device.is_gpu() && tokens > 1 { tokens.next_multiple_of(device.tuning().matmul_tokens as usize) } else { tokens }
}
