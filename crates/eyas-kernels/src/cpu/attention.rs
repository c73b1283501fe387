//! Rotary embedding, cache append and attention on the CPU.

use super::vector;
use crate::{AttentionSpec, RopeSpec};

/// Copies a row of heads, rotating the leading part of each.
fn rotate_heads(from: &[f32], to: &mut [f32], table_row: &[f32], head_dim: usize, rope: RopeSpec) {
    let half = rope.rotary_dim / 2;
    let (cos, sin) = table_row.split_at(half);
    to.copy_from_slice(from);
    for (from, to) in from.chunks(head_dim).zip(to.chunks_mut(head_dim)) {
        for i in 0..half {
            let (a, b) = (from[i], from[half + i]);
            to[i] = a * cos[i] - b * sin[i];
            to[half + i] = b * cos[i] + a * sin[i];
        }
    }
}

/// See [`crate::rope_append`]; returns the rotated queries.
pub(super) fn rope_append(
    qkv: &[f32],
    rope_table: &[f32],
    position: usize,
    k_cache: &mut [f32],
    v_cache: &mut [f32],
    rope: RopeSpec,
    spec: AttentionSpec,
) -> Vec<f32> {
    let (q_width, kv_width) = (spec.q_width(), spec.kv_width());
    let mut q = vec![0.0; qkv.len() / spec.qkv_width() * q_width];
    for (t, row) in qkv.chunks(spec.qkv_width()).enumerate() {
        let at = position + t;
        let table_row = &rope_table[at * rope.rotary_dim..][..rope.rotary_dim];
        let (q_row, kv_row) = row.split_at(q_width);
        let (k_row, v_row) = kv_row.split_at(kv_width);
        rotate_heads(q_row, &mut q[t * q_width..][..q_width], table_row, spec.head_dim, rope);
        rotate_heads(k_row, &mut k_cache[at * kv_width..][..kv_width], table_row, spec.head_dim, rope);
        v_cache[at * kv_width..][..kv_width].copy_from_slice(v_row);
    }
    q
}

/// See [`crate::attention`].
pub(super) fn attention(q: &[f32], k_cache: &[f32], v_cache: &[f32], position: usize, spec: AttentionSpec) -> Vec<f32> {
    let (d, kv_width, group, scale) = (spec.head_dim, spec.kv_width(), spec.heads / spec.kv_heads, spec.scale());
    let mut out = vec![0.0; q.len()];
    let mut scores = Vec::new();
    for (t, (q_row, out_row)) in q.chunks(spec.q_width()).zip(out.chunks_mut(spec.q_width())).enumerate() {
        for (h, (q_head, out_head)) in q_row.chunks(d).zip(out_row.chunks_mut(d)).enumerate() {
            let base = h / group * d;
            scores.clear();
            scores.extend((0..=position + t).map(|p| vector::dot(q_head, &k_cache[p * kv_width + base..][..d]) * scale));
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for (p, score) in scores.iter().enumerate() {
                let weight = (score - max).exp();
                total += weight;
                for (o, v) in out_head.iter_mut().zip(&v_cache[p * kv_width + base..][..d]) {
                    *o += weight * v;
                }
            }
            let factor = 1.0 / total;
            for o in out_head {
                *o *= factor;
            }
        }
    }
    out
}
