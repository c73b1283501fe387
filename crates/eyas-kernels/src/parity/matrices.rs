//! Products with packed matrices, and rows of them.

use eyas_core::WeightKind;
use proptest::prelude::*;

use super::{Outcome, close, floats1, floats2, noise, packing::pack, read, tokens};
use crate::{
    Activation, KernelDevice, MatrixSpec, embed, matmul, matmul_add, matmul_gated, reference, upload_matrix, write_step,
};

fn kind() -> impl Strategy<Value = WeightKind> {
    prop::sample::select(WeightKind::ALL.to_vec())
}

/// What rounding the activations (-1..1) to 15 bits and a sign may add to a product, relative to the largest expected magnitude: on the CPU, where relaxed SIMD
/// keeps 7 bits and a sign, and where a GPU rounds them for several tokens.
fn rounding(device: &KernelDevice, spec: MatrixSpec, tokens: usize, weights: &[f32], expected: &[f32]) -> f32 {
    let MatrixSpec { cols, kind, .. } = spec;
    let is_rounded = if device.is_gpu() {
        tokens > 1 && device.tuning().matmul_bits == 16 && spec.rounded_row_words() > 0
    } else {
        kind.is_quantized()
    };
    if !is_rounded {
        return 0.0;
    }
    let largest_row = weights.chunks(cols).map(|row| row.iter().map(|w| w.abs()).sum::<f32>()).fold(0.0, f32::max);
    #[cfg(feature = "cpu")]
    let steps = if device.is_gpu() { 65534.0 } else { crate::cpu::input_steps(kind) };
    #[cfg(not(feature = "cpu"))]
    let steps = 65534.0;
    largest_row / steps / expected.iter().fold(1e-6, |largest, v| v.abs().max(largest))
}

/// A product of every flavour.
#[derive(Debug, Clone)]
pub struct Products {
    kind: WeightKind,
    rows: usize,
    cols: usize,
    tokens: usize,
    has_bias: bool,
    seed: u64,
}

pub(super) fn products() -> impl Strategy<Value = Products> {
    // Rows of whole blocks are multiplied in other ways than ragged ones.
    let cols = prop_oneof![1_usize..150, (1_usize..5).prop_map(|blocks| 32 * blocks)];
    (kind(), 1_usize..80, cols, tokens(), any::<bool>(), any::<u64>())
        .prop_map(|(kind, rows, cols, tokens, has_bias, seed)| Products { kind, rows: 2 * rows, cols, tokens, has_bias, seed })
}

impl Products {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { kind, rows, cols, tokens, has_bias, seed } = *self;
        // Now and then what makes the sums of integers largest: nearly all nibbles are 15, and the input is at its bound.
        let (weights, x) = if seed % 8 == 1 {
            ((0..rows * cols).map(|i| if i % 32 == 0 { -1.0 } else { 0.93 }).collect(), vec![1.0; tokens * cols])
        } else {
            (noise(seed, rows * cols), noise(seed ^ 1, tokens * cols))
        };
        let (words, scales, exact) = pack(kind, &weights, rows, cols);
        let bias = if has_bias { noise(seed ^ 2, rows) } else { Vec::new() };
        let residual = noise(seed ^ 3, tokens * rows);
        let spec = MatrixSpec { rows, cols, kind, has_bias };
        let expected = reference::matmul(&exact, has_bias.then_some(&bias[..]), &x, rows, cols);
        let summed: Vec<f32> = expected.iter().zip(&residual).map(|(a, b)| a + b).collect();
        let tuning = device.tuning();
        let rounded = rounding(device, spec, tokens, &exact, &expected);
        let (words, scales) = upload_matrix(device, words.clone(), scales.clone(), spec);
        let bias = floats1(&bias, device);
        let x_tk = floats2(&x, tokens, device);
        let y = matmul(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), spec, tuning);
        close("matmul", device, &read(device, y).await?, &expected, 1e-5 + rounded)?;
        if seed % 4 == 0 {
            let mut broken = x.clone();
            broken[(tokens - 1) * cols + (seed >> 2) as usize % cols] = f32::NAN;
            let y = matmul(words.clone(), scales.clone(), bias.clone(), floats2(&broken, tokens, device), spec, tuning);
            let y = read(device, y).await?;
            let (whole, of_broken) = y.split_at((tokens - 1) * rows);
            close("matmul beside what is no number", device, whole, &expected[..whole.len()], 1e-5 + rounded)?;
            if let Some(finite) = of_broken.iter().find(|value| value.is_finite()) {
                return Err(format!("matmul made {finite} of what is no number"));
            }
        }
        let residual = floats2(&residual, tokens, device);
        let y = matmul_add(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), residual, spec, tuning);
        close("matmul_add", device, &read(device, y).await?, &summed, 1e-5 + 2.0 * rounded)?;
        if !has_bias {
            let activation = Activation::ALL[seed as usize % Activation::ALL.len()];
            let largest = expected.iter().fold(1.0_f32, |largest, v| v.abs().max(largest));
            let expected = reference::matmul_gated(&exact, &x, activation, rows, cols);
            // Both factors are rounded, and neither's error is magnified by more than the other's size.
            let rounded = 2.2 * largest * rounding(device, spec, tokens, &exact, &expected);
            let y = matmul_gated(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), activation, spec, tuning);
            close("matmul_gated", device, &read(device, y).await?, &expected, 2e-5 + rounded)?;
        }
        Ok(())
    }
}

/// Rows that ids name.
#[derive(Debug, Clone)]
pub struct Embedding {
    kind: WeightKind,
    rows: usize,
    cols: usize,
    tokens: usize,
    seed: u64,
}

pub(super) fn embedding() -> impl Strategy<Value = Embedding> {
    (kind(), 1_usize..60, 1_usize..150, 1_usize..9, any::<u64>()).prop_map(|(kind, rows, cols, tokens, seed)| Embedding {
        kind,
        rows,
        cols,
        tokens,
        seed,
    })
}

impl Embedding {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { kind, rows, cols, tokens, seed } = *self;
        let (words, scales, exact) = pack(kind, &noise(seed, rows * cols), rows, cols);
        let ids: Vec<u32> = (0..tokens as u64).map(|t| ((seed ^ t.wrapping_mul(31)) % (rows as u64 + 1)) as u32).collect();
        let expected: Vec<f32> = ids
            .iter()
            .flat_map(|id| (0..cols).map(|c| exact.get(*id as usize * cols + c).copied().unwrap_or(0.0)).collect::<Vec<_>>())
            .collect();
        let spec = MatrixSpec { rows, cols, kind, has_bias: false };
        let scale = 1.0 + (seed % 7) as f32;
        let expected: Vec<f32> = expected.iter().map(|value| value * scale).collect();
        let step = write_step(device, 0, &ids, tokens);
        let (words, scales) = upload_matrix(device, words.clone(), scales.clone(), spec);
        let y = embed(words, scales, step, tokens, scale, spec);
        close("embed", device, &read(device, y).await?, &expected, 1e-6)?;
        Ok(())
    }
}
