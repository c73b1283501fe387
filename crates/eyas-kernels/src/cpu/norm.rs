//! Normalisation and the way into the residual stream on the CPU.

use super::vector;
use crate::ResidualSpec;

/// The factor that gives a row a root mean square of one.
fn factor(row: &[f32], epsilon: f32) -> f32 {
    1.0 / (vector::dot(row, row) / row.len() as f32 + epsilon).sqrt()
}

/// See [`crate::rms_norm`].
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks(weight.len()) {
        let factor = factor(row, epsilon);
        out.extend(row.iter().zip(weight).map(|(v, w)| v * factor * w));
    }
    out
}

/// Normalises each row of `weight`'s width in place.
pub(super) fn rms_norm_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in x.chunks_mut(weight.len()) {
        let factor = factor(row, epsilon);
        for (v, w) in row.iter_mut().zip(weight) {
            *v *= factor * w;
        }
    }
}

/// See [`crate::layer_norm`]; `added` is empty where nothing is, `affine` is weight and bias.
pub(super) fn layer_norm(x: &[f32], added: &[f32], affine: (&[f32], &[f32]), epsilon: f32) -> Vec<f32> {
    let (weight, bias) = affine;
    let d = weight.len();
    let mut out = x.to_vec();
    out.iter_mut().zip(added).for_each(|(x, added)| *x += added);
    for row in out.chunks_mut(d) {
        let mean = row.iter().sum::<f32>() / d as f32;
        for v in row.iter_mut() {
            *v -= mean;
        }
        let factor = factor(row, epsilon);
        for (v, (w, b)) in row.iter_mut().zip(weight.iter().zip(bias)) {
            *v = *v * factor * w + b;
        }
    }
    out
}

/// Adds `x` `[t, d]` to the residual stream as `spec` says.
pub(super) fn add(residual: &mut [f32], x: &[f32], post_weight: &[f32], d: usize, spec: ResidualSpec) {
    let multiplier = spec.multiplier();
    for (residual, x) in residual.chunks_mut(d).zip(x.chunks(d)) {
        match spec.post_epsilon() {
            None => residual.iter_mut().zip(x).for_each(|(r, v)| *r += multiplier * v),
            Some(epsilon) => {
                let factor = factor(x, epsilon) * multiplier;
                residual.iter_mut().zip(x).zip(post_weight).for_each(|((r, v), w)| *r += v * factor * w);
            }
        }
    }
}

/// See [`crate::softcap`].
pub(super) fn softcap(x: f32, cap: f32) -> f32 {
    cap * (x / cap).tanh()
}
