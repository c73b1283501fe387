//! The operations in plain `f64` on unpacked weights: slow, obvious, and what the kernels are tested against.

use crate::{Activation, AttentionSpec, QkNorm, ResidualSpec, RopeSpec};

/// `x [t, d]` normalised by its root mean square over `d`; see [`crate::rms_norm`].
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let d = weight.len();
    x.chunks(d)
        .flat_map(|row| {
            let mean = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / d as f64;
            let factor = 1.0 / (mean + f64::from(epsilon)).sqrt();
            row.iter().zip(weight).map(move |(v, w)| (f64::from(*v) * factor * f64::from(*w)) as f32).collect::<Vec<_>>()
        })
        .collect()
}

/// The residual stream after `x [t, d]` joined it, and that normalised; see [`crate::residual_norm`].
pub fn residual_norm(residual: &[f32], x: &[f32], post: &[f32], next: &[f32], spec: ResidualSpec) -> (Vec<f32>, Vec<f32>) {
    let x = spec.post_epsilon().map_or_else(|| x.to_vec(), |epsilon| rms_norm(x, post, epsilon));
    let multiplier = f64::from(spec.multiplier());
    let sum: Vec<f32> = residual.iter().zip(&x).map(|(r, v)| (f64::from(*r) + multiplier * f64::from(*v)) as f32).collect();
    let normed = spec.next_epsilon().map_or_else(|| sum.clone(), |epsilon| rms_norm(&sum, next, epsilon));
    (sum, normed)
}

/// `x + added [t, d]` with mean 0 and variance 1 over `d`, times `weight`, plus `bias`; see [`crate::layer_norm`].
pub fn layer_norm(x: &[f32], added: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let d = weight.len();
    let normed = |(x, added): (&[f32], &[f32])| {
        let sum: Vec<f64> = x.iter().zip(added).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
        let mean = sum.iter().sum::<f64>() / d as f64;
        let variance = sum.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
        let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let affine = sum.iter().zip(weight.iter().zip(bias));
        affine.map(|(v, (w, b))| ((v - mean) * factor * f64::from(*w) + f64::from(*b)) as f32).collect::<Vec<_>>()
    };
    x.chunks(d).zip(added.chunks(d)).flat_map(normed).collect()
}

/// `cap · tanh(x / cap)`; see [`crate::softcap`].
pub fn softcap(x: f64, cap: f32) -> f64 {
    f64::from(cap) * (x / f64::from(cap)).tanh()
}

/// `x [t, cols] · weightsᵀ [rows, cols] + bias`; see [`crate::matmul`].
pub fn matmul(weights: &[f32], bias: Option<&[f32]>, x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    x.chunks(cols)
        .flat_map(|x_row| {
            (0..rows).map(move |r| {
                let dot: f64 =
                    weights[r * cols..(r + 1) * cols].iter().zip(x_row).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
                (dot + bias.map_or(0.0, |b| f64::from(b[r]))) as f32
            })
        })
        .collect()
}

/// The activation of a value.
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
    }
}

/// The error function by its series, `2/√π Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n+1))`; beyond 5 it is 1 within 2·10⁻¹².
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// Gate rows, then up rows; see [`crate::matmul_gated`].
pub fn matmul_gated(weights: &[f32], x: &[f32], activation: Activation, rows: usize, cols: usize) -> Vec<f32> {
    gated(&matmul(weights, None, x, rows, cols), activation, rows)
}

/// What becomes of the products with gate and up rows, `[t, rows]`.
pub fn gated(products: &[f32], activation: Activation, rows: usize) -> Vec<f32> {
    let of_token = |row: &[f32]| {
        let (gate, up) = row.split_at(rows / 2);
        let values = gate.iter().zip(up).map(|(g, u)| (activate(activation, f64::from(*g)) * f64::from(*u)) as f32);
        values.collect::<Vec<_>>()
    };
    products.chunks(rows).flat_map(of_token).collect()
}

/// Normalises the queries and keys of a token, `[q_width + kv_width]`; see [`QkNorm`].
pub fn qk_norm(row: &[f32], weights: &[f32], norm: QkNorm, spec: AttentionSpec) -> Vec<f32> {
    match norm {
        QkNorm::None => row.to_vec(),
        QkNorm::PerHead { epsilon_bits } => {
            let (q_weight, k_weight) = weights.split_at(spec.head_dim);
            let (q, k) = row.split_at(spec.q_width());
            let epsilon = f32::from_bits(epsilon_bits);
            [rms_norm(q, q_weight, epsilon), rms_norm(k, k_weight, epsilon)].concat()
        }
        QkNorm::FullWidth { epsilon_bits } => {
            let (q_weight, k_weight) = weights.split_at(spec.q_width());
            let (q, k) = row.split_at(spec.q_width());
            let epsilon = f32::from_bits(epsilon_bits);
            [rms_norm(q, q_weight, epsilon), rms_norm(k, k_weight, epsilon)].concat()
        }
    }
}

/// Rotates the first `rope.rotary_dim` values of a head at a position; see [`crate::rope_append`].
pub fn rotate(head: &[f32], table_row: &[f32], rope: RopeSpec) -> Vec<f32> {
    let half = rope.rotary_dim / 2;
    let mut out = head.to_vec();
    for i in 0..half {
        let (cos, sin) = (f64::from(table_row[i]), f64::from(table_row[half + i]));
        let (a, b) = (f64::from(head[i]), f64::from(head[half + i]));
        out[i] = (a * cos - b * sin) as f32;
        out[half + i] = (b * cos + a * sin) as f32;
    }
    out
}

/// The heads of a token's queries and keys, `[q_width + kv_width]`, normalised and rotated; see [`crate::rope_append`].
pub fn rotated_heads(row: &[f32], table_row: &[f32], weights: &[f32], rope: RopeSpec, spec: AttentionSpec) -> Vec<f32> {
    let normed = qk_norm(row, weights, rope.qk_norm, spec);
    normed.chunks(spec.head_dim).flat_map(|head| rotate(head, table_row, rope)).collect()
}

/// Attention of the tokens at `position..` over the caches; see [`crate::attention`].
pub fn attention(q: &[f32], k_cache: &[f32], v_cache: &[f32], position: usize, spec: AttentionSpec) -> Vec<f32> {
    let (d, group) = (spec.head_dim, spec.heads / spec.kv_heads);
    let end = position + q.len() / spec.q_width();
    let mut out = Vec::with_capacity(q.len());
    for (t, q_row) in q.chunks(spec.q_width()).enumerate() {
        for (h, q_head) in q_row.chunks(d).enumerate() {
            let visible = spec.first_visible(position + t)..spec.visible_end(position + t, end);
            let scores: Vec<f64> = visible
                .clone()
                .map(|p| {
                    let k = &k_cache[spec.cache_index(h / group, p)..][..d];
                    let dot = q_head.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                    let score = dot * f64::from(spec.scale());
                    spec.softcap().map_or(score, |cap| softcap(score, cap))
                })
                .collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
            let total: f64 = weights.iter().sum();
            for i in 0..d {
                let value = |p: usize| f64::from(v_cache[spec.cache_index(h / group, p) + i]);
                let sum: f64 = weights.iter().zip(visible.clone()).map(|(w, p)| w * value(p)).sum();
                out.push((sum / total) as f32);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_position_attends_to_itself() {
        let spec = AttentionSpec::new(2, 1, 2, 4);
        let out = attention(&[1.0, 0.0, 0.0, 1.0], &[0.5, 0.5], &[7.0, 9.0], 0, spec);
        assert_eq!(out, vec![7.0, 9.0, 7.0, 9.0]);
    }

    #[test]
    fn a_window_of_one_sees_itself_in_its_row() {
        let spec = AttentionSpec::new(1, 1, 1, 2).with_window(1);
        assert_eq!(attention(&[1.0], &[5.0, 5.0], &[7.0, 9.0], 3, spec), vec![9.0]);
    }

    #[test]
    fn a_contribution_is_normalised_before_and_the_sum_behind() {
        let spec = ResidualSpec::new(2.0).with_post_norm(0.0).with_next_norm(0.0);
        let (sum, normed) = residual_norm(&[1.0, -3.0], &[5.0, 5.0], &[1.0, 2.0], &[1.0, 1.0], spec);
        assert_eq!(sum, vec![3.0, 1.0]);
        assert!((normed[0] - 3.0 / 5.0_f32.sqrt()).abs() < 1e-6);
        assert!((softcap(1e9, 30.0) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_layer_norm_centres_the_sum() {
        assert_eq!(layer_norm(&[1.0, 2.0], &[1.0, 4.0], &[2.0, 1.0], &[0.5, 0.0], 0.0), vec![-1.5, 1.0]);
    }

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, expected) in [(0.5, 0.520_499_877_813_046_5), (-1.0, -0.842_700_792_949_714_9), (4.0, 0.999_999_984_582_742_1)] {
            assert!((erf(x) - expected).abs() < 1e-9, "{x}: {}", erf(x));
        }
        assert!((erf(5.5) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_bidirectional_token_sees_what_comes_later() {
        let spec = AttentionSpec::new(1, 1, 1, 2).bidirectional();
        assert_eq!(attention(&[0.0, 0.0], &[1.0, 2.0], &[7.0, 9.0], 0, spec), vec![8.0, 8.0]);
    }

    #[test]
    fn a_quarter_turn_swaps_the_halves() {
        assert_eq!(rotate(&[1.0, 2.0], &[0.0, 1.0], RopeSpec::new(2)), vec![-2.0, 1.0]);
    }

    #[test]
    fn silu_of_zero_is_zero() {
        assert!(activate(Activation::Silu, 0.0).abs() < 1e-12);
        assert!((activate(Activation::GeluTanh, 1.0) - 0.841_192).abs() < 1e-5);
    }
}
