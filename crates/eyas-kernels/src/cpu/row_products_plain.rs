//! Products of a few vectors with many rows, in plain Rust.

use super::vector;

/// `scores[q][r] = scale · queries[q] · rows[r]` for rows of the queries' width that stand one behind the other.
pub(super) fn dot_rows<const Q: usize>(queries: [&[f32]; Q], rows: &[f32], scale: f32, mut scores: [&mut [f32]; Q]) {
    for (r, row) in rows.chunks_exact(queries[0].len()).enumerate() {
        for (scores, query) in scores.iter_mut().zip(queries) {
            scores[r] = vector::dot(query, row) * scale;
        }
    }
}

/// `out[at[q]..][..width] += Σ weights[q][r] · rows[first + r]` for rows of so many values that stand one behind the other.
pub(super) fn add_rows<const Q: usize>(
    out: &mut [f32],
    at: [usize; Q],
    rows: &[f32],
    first: usize,
    weights: [&[f32]; Q],
    width: usize,
) {
    for (r, row) in rows[first * width..].chunks_exact(width).take(weights[0].len()).enumerate() {
        for (at, weights) in at.into_iter().zip(weights) {
            for (out, value) in out[at..][..width].iter_mut().zip(row) {
                *out += weights[r] * value;
            }
        }
    }
}
