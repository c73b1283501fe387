//! Normalisation of queries and keys, rotary embedding, cache append and attention on the CPU.

use super::{norm, vector};
use crate::{AttentionSpec, QkNorm, RopeSpec};

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

/// What [`crate::rope_append`] does to every token.
pub(super) struct Rotation<'a> {
    pub(super) table: &'a [f32],
    pub(super) norm_weights: &'a [f32],
    pub(super) rope: RopeSpec,
    pub(super) spec: AttentionSpec,
}

impl Rotation<'_> {
    /// Writes the tokens at `position..` into the caches and returns their rotated queries.
    pub(super) fn append(&self, qkv: &[f32], position: usize, (k_cache, v_cache): (&mut [f32], &mut [f32])) -> Vec<f32> {
        let (rope, spec) = (self.rope, self.spec);
        let (q_width, kv_width) = (spec.q_width(), spec.kv_width());
        let mut q = vec![0.0; qkv.len() / spec.qkv_width() * q_width];
        let mut normed = Vec::new();
        for (t, row) in qkv.chunks(spec.qkv_width()).enumerate() {
            let at = spec.row(position + t) * kv_width;
            let table_row = &self.table[(position + t) * rope.rotary_dim..][..rope.rotary_dim];
            let (qk_row, v_row) = row.split_at(q_width + kv_width);
            let (q_row, k_row) = self.normed(qk_row, &mut normed).split_at(q_width);
            rotate_heads(q_row, &mut q[t * q_width..][..q_width], table_row, spec.head_dim, rope);
            rotate_heads(k_row, &mut k_cache[at..][..kv_width], table_row, spec.head_dim, rope);
            v_cache[at..][..kv_width].copy_from_slice(v_row);
        }
        q
    }

    /// A token's queries and keys after their normalisation; `scratch` holds them where there is one.
    fn normed<'b>(&self, qk_row: &'b [f32], scratch: &'b mut Vec<f32>) -> &'b [f32] {
        let (width, epsilon_bits) = match self.rope.qk_norm {
            QkNorm::None => return qk_row,
            QkNorm::PerHead { epsilon_bits } => (self.spec.head_dim, epsilon_bits),
            QkNorm::FullWidth { epsilon_bits } => (self.spec.q_width(), epsilon_bits),
        };
        scratch.clear();
        scratch.extend_from_slice(qk_row);
        let (q, k) = scratch.split_at_mut(self.spec.q_width());
        let (q_weight, k_weight) = self.norm_weights.split_at(width);
        norm::rms_norm_in_place(q, q_weight, f32::from_bits(epsilon_bits));
        norm::rms_norm_in_place(k, k_weight, f32::from_bits(epsilon_bits));
        scratch
    }
}

/// See [`crate::attention`].
pub(super) fn attention(q: &[f32], k_cache: &[f32], v_cache: &[f32], position: usize, spec: AttentionSpec) -> Vec<f32> {
    let (d, kv_width, group, scale) = (spec.head_dim, spec.kv_width(), spec.heads / spec.kv_heads, spec.scale());
    let mut out = vec![0.0; q.len()];
    let mut scores = Vec::new();
    for (t, (q_row, out_row)) in q.chunks(spec.q_width()).zip(out.chunks_mut(spec.q_width())).enumerate() {
        let first = spec.first_visible(position + t);
        for (h, (q_head, out_head)) in q_row.chunks(d).zip(out_row.chunks_mut(d)).enumerate() {
            let base = h / group * d;
            let at = |p: usize| spec.row(p) * kv_width + base;
            scores.clear();
            scores.extend((first..=position + t).map(|p| vector::dot(q_head, &k_cache[at(p)..][..d]) * scale));
            if let Some(cap) = spec.softcap() {
                for score in &mut scores {
                    *score = norm::softcap(*score, cap);
                }
            }
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for (i, score) in scores.iter().enumerate() {
                let weight = (score - max).exp();
                total += weight;
                for (o, v) in out_head.iter_mut().zip(&v_cache[at(first + i)..][..d]) {
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
