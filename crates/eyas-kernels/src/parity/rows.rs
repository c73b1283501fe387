//! What happens to rows of activations: normalisation, residual, cap, copy.

use proptest::prelude::*;

use super::{Outcome, close, floats1, floats2, noise, read, tokens};
use crate::{
    Activation, AttentionSpec, KernelDevice, ResidualSpec, activate, copy_cache, copy_rows, layer_norm as layer_norm_operation,
    reference, residual_norm, rms_norm, softcap as softcap_operation,
};

/// A normalisation.
#[derive(Debug, Clone)]
pub struct Norm {
    d: usize,
    tokens: usize,
    seed: u64,
}

pub(super) fn norm() -> impl Strategy<Value = Norm> {
    (1_usize..200, tokens(), any::<u64>()).prop_map(|(d, tokens, seed)| Norm { d, tokens, seed })
}

impl Norm {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { d, tokens, seed } = *self;
        let (x, weight) = (noise(seed, tokens * d), noise(seed ^ 1, d));
        let expected = reference::rms_norm(&x, &weight, 1e-5);
        let y = rms_norm(floats2(&x, tokens, device), floats1(&weight, device), 1e-5, device.tuning());
        close("rms_norm", device, &read(device, y).await?, &expected, 1e-5)?;
        Ok(())
    }
}

/// A normalisation of a sum.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    d: usize,
    tokens: usize,
    /// Rows that the added tensor has beyond those of the tokens; nothing is added where there is none.
    spare: Option<usize>,
    /// How far the values lie from 0.
    offset: f32,
    seed: u64,
}

pub(super) fn layer_norm() -> impl Strategy<Value = LayerNorm> {
    (2_usize..200, tokens(), prop::option::of(0_usize..3), -3.0_f32..3.0, any::<u64>())
        .prop_map(|(d, tokens, spare, offset, seed)| LayerNorm { d, tokens, spare, offset, seed })
}

impl LayerNorm {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { d, tokens, spare, offset, seed } = *self;
        let x: Vec<f32> = noise(seed, tokens * d).iter().map(|value| value + offset).collect();
        let added = spare.map_or_else(|| vec![0.0; tokens * d], |spare| noise(seed ^ 1, (tokens + spare) * d));
        let (weight, bias) = (noise(seed ^ 2, d), noise(seed ^ 3, d));
        let expected = reference::layer_norm(&x, &added, &weight, &bias, 1e-5);
        let y = layer_norm_operation(
            floats2(&x, tokens, device),
            spare.map(|spare| floats2(&added, tokens + spare, device)),
            floats1(&weight, device),
            floats1(&bias, device),
            1e-5,
            device.tuning(),
        );
        close("layer_norm", device, &read(device, y).await?, &expected, 2e-5)?;
        Ok(())
    }
}

/// An activation of every value.
#[derive(Debug, Clone)]
pub struct Activated {
    n: usize,
    tokens: usize,
    /// The largest magnitude.
    largest: f32,
    seed: u64,
}

pub(super) fn activation() -> impl Strategy<Value = Activated> {
    (1_usize..300, tokens(), 0.1_f32..30.0, any::<u64>()).prop_map(|(n, tokens, largest, seed)| Activated {
        n,
        tokens,
        largest,
        seed,
    })
}

impl Activated {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { n, tokens, largest, seed } = *self;
        let x: Vec<f32> = noise(seed, tokens * n).iter().map(|value| value * largest).collect();
        for activation in Activation::ALL {
            let expected: Vec<f32> = x.iter().map(|value| reference::activate(activation, f64::from(*value)) as f32).collect();
            let y = activate(floats2(&x, tokens, device), activation);
            close("activate", device, &read(device, y).await?, &expected, 2e-6)?;
        }
        Ok(())
    }
}

/// A contribution to the residual stream.
#[derive(Debug, Clone)]
pub struct Residual {
    d: usize,
    tokens: usize,
    has_post: bool,
    has_next: bool,
    multiplier: f32,
    seed: u64,
}

pub(super) fn residual() -> impl Strategy<Value = Residual> {
    (1_usize..200, tokens(), any::<[bool; 2]>(), 0.1_f32..2.0, any::<u64>()).prop_map(
        |(d, tokens, [has_post, has_next], multiplier, seed)| Residual { d, tokens, has_post, has_next, multiplier, seed },
    )
}

impl Residual {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { d, tokens, has_post, has_next, multiplier, seed } = *self;
        let (residual, x) = (noise(seed, tokens * d), noise(seed ^ 1, tokens * d));
        let (post, next) = (noise(seed ^ 2, d), noise(seed ^ 3, d));
        let mut spec = ResidualSpec::new(multiplier);
        if has_post {
            spec = spec.with_post_norm(1e-5);
        }
        if has_next {
            spec = spec.with_next_norm(1e-6);
        }
        let (sum, normed) = reference::residual_norm(&residual, &x, &post, &next, spec);
        let (found_sum, found_normed) = residual_norm(
            floats2(&residual, tokens, device),
            floats2(&x, tokens, device),
            floats1(&post, device),
            floats1(&next, device),
            spec,
            device.tuning(),
        );
        close("residual_norm's sum", device, &read(device, found_sum).await?, &sum, 1e-5)?;
        close("residual_norm's normed", device, &read(device, found_normed).await?, &normed, 1e-5)?;
        Ok(())
    }
}

/// Capped logits.
#[derive(Debug, Clone)]
pub struct Softcap {
    n: usize,
    tokens: usize,
    cap: f32,
    seed: u64,
}

pub(super) fn softcap() -> impl Strategy<Value = Softcap> {
    (1_usize..300, tokens(), 0.5_f32..50.0, any::<u64>()).prop_map(|(n, tokens, cap, seed)| Softcap { n, tokens, cap, seed })
}

impl Softcap {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { n, tokens, cap, seed } = *self;
        let x: Vec<f32> = noise(seed, tokens * n).iter().map(|value| value * 200.0).collect();
        let expected: Vec<f32> = x.iter().map(|value| reference::softcap(f64::from(*value), cap) as f32).collect();
        let y = softcap_operation(floats2(&x, tokens, device), cap);
        close("softcap", device, &read(device, y).await?, &expected, 1e-5)?;
        Ok(())
    }
}

/// A copy of rows.
#[derive(Debug, Clone)]
pub struct Copy {
    rows: usize,
    d: usize,
    seed: u64,
}

pub(super) fn copy() -> impl Strategy<Value = Copy> {
    (1_usize..40, 1_usize..100, any::<u64>()).prop_map(|(rows, d, seed)| Copy { rows, d, seed })
}

impl Copy {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { rows, d, seed } = *self;
        let x = noise(seed, rows * d);
        let start = seed as usize % rows;
        let count = rows - start;
        let y = read(device, copy_rows(floats2(&x, rows, device), start, count)).await?;
        close("copy_rows", device, &y, &x[start * d..], 0.0)?;
        let (heads, used) = (1 + seed as usize % 3, 1 + start);
        let cache = noise(seed ^ 1, heads * rows * d);
        let spec = AttentionSpec::new(heads, heads, d, rows);
        let y = read(device, copy_cache(floats2(&cache, heads * rows, device), used, spec)).await?;
        for (copy, original) in y.chunks(rows * d).zip(cache.chunks(rows * d)) {
            close("copy_cache", device, &copy[..used * d], &original[..used * d], 0.0)?;
        }
        let strip = device.value_strip(spec);
        let y = read(device, copy_cache(floats2(&cache, heads * rows * (d / strip), device), used, spec)).await?;
        for (copy, original) in y.chunks(rows * strip).zip(cache.chunks(rows * strip)) {
            close("copy_cache of values", device, &copy[..used * strip], &original[..used * strip], 0.0)?;
        }
        Ok(())
    }
}
