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

/// Queries whose scores are computed together, about: they share what is read of keys and values.
const TILE: usize = 8;

/// See [`crate::attention`].
pub(super) fn attention(q: &[f32], k_cache: &[f32], v_cache: &[f32], position: usize, spec: AttentionSpec) -> Vec<f32> {
    let mut out = vec![0.0; q.len()];
    let mut scores = Vec::new();
    let group = spec.heads / spec.kv_heads;
    let tile_tokens = (TILE / group).max(1);
    let (tokens, width) = (q.len() / spec.q_width(), spec.q_width());
    for start in (0..tokens).step_by(tile_tokens) {
        let count = tile_tokens.min(tokens - start);
        for kv_head in 0..spec.kv_heads {
            let tile = Tile { k_cache, v_cache, position: position + start, count, end: position + tokens, kv_head, spec };
            tile.attend(&q[start * width..], &mut out[start * width..], &mut scores);
        }
    }
    out
}

/// Consecutive tokens and the query heads that share one key and value head.
struct Tile<'a> {
    k_cache: &'a [f32],
    v_cache: &'a [f32],
    position: usize,
    count: usize,
    /// One behind the step's last position.
    end: usize,
    kv_head: usize,
    spec: AttentionSpec,
}

impl Tile<'_> {
    fn row<'b>(&self, cache: &'b [f32], position: usize) -> &'b [f32] {
        let d = self.spec.head_dim;
        &cache[self.spec.row(position) * self.spec.kv_width() + self.kv_head * d..][..d]
    }

    /// Four rows from `position` on; past `last` the last one again.
    fn four<'b>(&self, cache: &'b [f32], position: usize, last: usize) -> [&'b [f32]; 4] {
        std::array::from_fn(|i| self.row(cache, (position + i).min(last)))
    }

    /// Attends from the rows `q` to the rows `out`, both `[t, q_width]`. `scores` is scratch.
    fn attend(&self, q: &[f32], out: &mut [f32], scores: &mut Vec<f32>) {
        let spec = self.spec;
        let (d, group) = (spec.head_dim, spec.heads / spec.kv_heads);
        let first = spec.first_visible(self.position);
        let last = spec.visible_end(self.position + self.count - 1, self.end) - 1;
        let stride = (last + 1 - first).next_multiple_of(4);
        scores.clear();
        scores.resize(self.count * group * stride, 0.0);
        let at = |query: usize| query / group * spec.q_width() + (self.kv_head * group + query % group) * d;
        for p in (first..=last).step_by(4) {
            let keys = self.four(self.k_cache, p, last);
            for (query, scores) in scores.chunks_exact_mut(stride).enumerate() {
                let products = vector::dot_four(&q[at(query)..][..d], keys);
                scores[p - first..][..4].copy_from_slice(&products.map(|product| product * spec.scale()));
            }
        }
        for (query, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let here = self.position + query / group;
            let (before, from) = scores.split_at_mut(spec.first_visible(here) - first);
            let (seen, after) = from.split_at_mut(spec.visible_end(here, self.end) - spec.first_visible(here));
            before.fill(0.0);
            after.fill(0.0);
            softmax(seen, spec);
        }
        for p in (first..=last).step_by(4) {
            let values = self.four(self.v_cache, p, last);
            for (query, scores) in scores.chunks_exact(stride).enumerate() {
                let weights = std::array::from_fn(|i| scores[p - first + i]);
                vector::add_weighted_four(&mut out[at(query)..][..d], values, weights);
            }
        }
    }
}

/// Scores to weights that sum to one.
fn softmax(scores: &mut [f32], spec: AttentionSpec) {
    if let Some(cap) = spec.softcap() {
        for score in &mut *scores {
            *score = norm::softcap(*score, cap);
        }
    }
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let factor = 1.0 / vector::exp_below(scores, max);
    for score in scores {
        *score *= factor;
    }
}
