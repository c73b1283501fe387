//! How many tokens a step computes.

use eyas_kernels::{KernelDevice, Tuning};

/// Tokens that kernels compute for `tokens` real ones: a GPU's threads take several each.
pub(crate) fn padded_tokens(device: &KernelDevice, tokens: usize) -> usize {
    if device.is_gpu() { padded_to(tokens, device.tuning()) } else { tokens }
}

/// The same on a GPU that is not there yet: at most, since no thread takes more tokens than those of this tuning.
pub(crate) fn step_tokens(tokens: usize) -> usize {
    padded_to(tokens, Tuning::HARDWARE)
}

fn padded_to(tokens: usize, tuning: Tuning) -> usize {
    if tokens > 1 { tokens.next_multiple_of(tuning.matmul_tokens as usize) } else { tokens }
}
