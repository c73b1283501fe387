//! Normalisation of queries and keys, rotary embedding, cache append and attention on the CPU.

use std::ops::Range;

use super::{norm, row_products, vector};
use crate::{AttentionSpec, QkNorm, RopeSpec};

/// Columns of a value that stand together in the cache, `[kv_heads][head_dim / strip][context][strip]`: a cache line of 64 bytes where heads are made of
/// whole ones, so that what is added up of one line's columns is read from consecutive lines.
pub(crate) const fn value_strip(head_dim: usize) -> usize {
    if head_dim.is_multiple_of(16) {
        16
    } else if head_dim.is_multiple_of(4) {
        4
    } else {
        head_dim
    }
}

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
        let (d, strip) = (spec.head_dim, value_strip(spec.head_dim));
        for (t, row) in qkv.chunks(spec.qkv_width()).enumerate() {
            let table_row = &self.table[(position + t) * rope.rotary_dim..][..rope.rotary_dim];
            let (qk_row, v_row) = row.split_at(q_width + kv_width);
            let (q_row, k_row) = self.normed(qk_row, &mut normed).split_at(q_width);
            rotate_heads(q_row, &mut q[t * q_width..][..q_width], table_row, spec.head_dim, rope);
            for (head, (k, v)) in k_row.chunks(d).zip(v_row.chunks(d)).enumerate() {
                let at = spec.cache_index(head, position + t);
                rotate_heads(k, &mut k_cache[at..][..d], table_row, d, rope);
                for (part, values) in v.chunks(strip).enumerate() {
                    v_cache[spec.value_index(head, position + t, part * strip, strip)..][..strip].copy_from_slice(values);
                }
            }
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
    let (mut scores, mut factors) = (Vec::new(), Vec::new());
    let group = spec.heads / spec.kv_heads;
    let tile_tokens = (TILE / group).max(1);
    let (tokens, width, head) = (q.len() / spec.q_width(), spec.q_width(), spec.context * spec.head_dim);
    for kv_head in 0..spec.kv_heads {
        let (keys, values) = (&k_cache[kv_head * head..][..head], &v_cache[kv_head * head..][..head]);
        for start in (0..tokens).step_by(tile_tokens) {
            let count = tile_tokens.min(tokens - start);
            let tile = Tile { keys, values, position: position + start, count, end: position + tokens, kv_head, spec };
            tile.attend(&q[start * width..], &mut out[start * width..], (&mut scores, &mut factors));
        }
    }
    out
}

/// Consecutive tokens and the query heads that share one key and value head.
struct Tile<'a> {
    /// The head's keys, `[context, head_dim]`.
    keys: &'a [f32],
    /// The head's values, `[head_dim / strip, context, strip]`.
    values: &'a [f32],
    position: usize,
    count: usize,
    /// One behind the step's last position.
    end: usize,
    kv_head: usize,
    spec: AttentionSpec,
}

impl Tile<'_> {
    /// Attends from the rows `q` to the rows `out`, both `[t, q_width]`, which are zeros. `scores` and `factors` are scratch.
    fn attend(&self, q: &[f32], out: &mut [f32], (scores, factors): (&mut Vec<f32>, &mut Vec<f32>)) {
        let spec = self.spec;
        let group = spec.heads / spec.kv_heads;
        let first = spec.first_visible(self.position);
        let length = spec.visible_end(self.position + self.count - 1, self.end) - first;
        let queries = self.count * group;
        scores.resize(queries * length, 0.0); // all are set below
        for these in triples(queries) {
            let scores = &mut scores[these.start * length..these.end * length];
            match these.len() {
                1 => self.score::<1>(q, these.start, first, scores),
                2 => self.score::<2>(q, these.start, first, scores),
                _ => self.score::<3>(q, these.start, first, scores),
            }
        }
        factors.clear();
        for (query, scores) in scores.chunks_exact_mut(length).enumerate() {
            let here = self.position + query / group;
            let (before, from) = scores.split_at_mut(spec.first_visible(here) - first);
            let (seen, after) = from.split_at_mut(spec.visible_end(here, self.end) - spec.first_visible(here));
            before.fill(0.0);
            after.fill(0.0);
            factors.push(1.0 / exponentials(seen, spec));
        }
        for these in triples(queries) {
            let weights = &scores[these.start * length..these.end * length];
            match these.len() {
                1 => self.mix::<1>(weights, these.start, first, out),
                2 => self.mix::<2>(weights, these.start, first, out),
                _ => self.mix::<3>(weights, these.start, first, out),
            }
        }
        for (query, factor) in factors.iter().enumerate() {
            vector::scale(&mut out[self.at(query)..][..spec.head_dim], *factor);
        }
    }

    /// Where the values of a query begin in a row tensor.
    fn at(&self, query: usize) -> usize {
        let group = self.spec.heads / self.spec.kv_heads;
        query / group * self.spec.q_width() + (self.kv_head * group + query % group) * self.spec.head_dim
    }

    /// Scores `[Q, length]` of Q queries, without a cap, from the position `first` on.
    fn score<const Q: usize>(&self, q: &[f32], query: usize, first: usize, scores: &mut [f32]) {
        let (d, length) = (self.spec.head_dim, scores.len() / Q);
        let queries = std::array::from_fn(|n| &q[self.at(query + n)..][..d]);
        let mut scores: [&mut [f32]; Q] = parts(scores);
        for piece in self.pieces(first, length) {
            let rows = &self.keys[piece.row * d..][..piece.count * d];
            row_products::dot_rows(
                queries,
                rows,
                self.spec.scale(),
                scores.each_mut().map(|scores| &mut scores[piece.at..][..piece.count]),
            );
        }
    }

    /// Mixes values with the weights `[Q, length]` of Q queries.
    fn mix<const Q: usize>(&self, weights: &[f32], query: usize, first: usize, out: &mut [f32]) {
        let (strip, length) = (value_strip(self.spec.head_dim), weights.len() / Q);
        for piece in self.pieces(first, length) {
            let weights = std::array::from_fn(|n| &weights[n * length + piece.at..][..piece.count]);
            for (part, rows) in self.values.chunks_exact(self.spec.context * strip).enumerate() {
                let at = std::array::from_fn(|n| self.at(query + n) + part * strip);
                row_products::add_rows::<Q>(out, at, rows, piece.row, weights, strip);
            }
        }
    }

    /// The cache rows of `length` positions from `first` on: one piece, or two where a window's rows begin anew.
    fn pieces(&self, first: usize, length: usize) -> impl Iterator<Item = Piece> {
        let row = self.spec.row(first);
        let until_end = length.min(self.spec.context - row);
        let pieces = [Piece { row, at: 0, count: until_end }, Piece { row: 0, at: until_end, count: length - until_end }];
        pieces.into_iter().filter(|piece| piece.count > 0)
    }
}

/// Consecutive cache rows.
struct Piece {
    row: usize,
    /// The first one's place among the positions that are looked at.
    at: usize,
    count: usize,
}

/// Ranges of three that make up `0..count`; the last two may be of two, and a single one is left only of one.
fn triples(count: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = count - start;
        let take = if left == 4 { 2 } else { left.min(3) };
        start += take;
        (take > 0).then(|| start - take..start)
    })
}

/// N equal parts.
fn parts<const N: usize>(slice: &mut [f32]) -> [&mut [f32]; N] {
    let length = slice.len() / N;
    let mut rest = slice;
    std::array::from_fn(|_| rest.split_off_mut(..length).unwrap_or_default())
}

/// Makes `exp(score - largest score)` of every score, and returns their sum: what the softmax divides by.
#[inline(never)] // in a caller that is optimised for size it would be too
fn exponentials(scores: &mut [f32], spec: AttentionSpec) -> f32 {
    if let Some(cap) = spec.softcap() {
        for score in &mut *scores {
            *score = norm::softcap(*score, cap);
        }
    }
    vector::exp_below(scores, vector::largest(scores))
}
