//! Products of a few vectors with many rows, in WebAssembly SIMD128 (base instructions only). The rows are read once for all vectors, whose sums stay in
//! registers: x64 has 16 of them.

use core::arch::wasm32::{f32x4_extract_lane, f32x4_splat, v128, v128_load, v128_load32_splat, v128_store};

use super::vector::{lane_sums, multiply_add};

/// `scores[q][r] = scale · queries[q] · rows[r]` for rows of the queries' width that stand one behind the other.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn dot_rows<const Q: usize>(queries: [&[f32]; Q], rows: &[f32], scale: f32, mut scores: [&mut [f32]; Q]) {
    let (d, count) = (queries[0].len(), scores[0].len());
    assert!(
        rows.len() >= count * d
            && queries.iter().all(|query| query.len() == d)
            && scores.iter().all(|scores| scores.len() == count)
    );
    let vectors = d / 4;
    for r in (0..count).step_by(2) {
        // A last row alone is taken twice, so that every row is summed in the same order wherever it stands.
        let next = (r + 1).min(count - 1);
        let mut sums = [[f32x4_splat(0.0); 2]; Q];
        for i in 0..vectors {
            // SAFETY: both rows and all queries have `vectors` whole vectors (checked above); loads need no alignment.
            unsafe {
                let [first, second] = [r, next].map(|r| v128_load(rows.as_ptr().add(r * d + 4 * i).cast()));
                for (sums, query) in sums.iter_mut().zip(queries) {
                    let query = v128_load(query.as_ptr().add(4 * i).cast());
                    sums[0] = multiply_add(sums[0], query, first);
                    sums[1] = multiply_add(sums[1], query, second);
                }
            }
        }
        for ((scores, sums), query) in scores.iter_mut().zip(sums).zip(queries) {
            let total = lane_sums([sums[0], sums[1], sums[0], sums[1]]);
            let tail = |r: usize| rest(query, &rows[r * d..][..d], vectors);
            scores[r] = (f32x4_extract_lane::<0>(total) + tail(r)) * scale;
            scores[next] = (f32x4_extract_lane::<1>(total) + tail(next)) * scale;
        }
    }
}

/// The product of what is left behind whole vectors.
#[inline(always)]
fn rest(a: &[f32], b: &[f32], vectors: usize) -> f32 {
    a[4 * vectors..].iter().zip(&b[4 * vectors..]).map(|(a, b)| a * b).sum()
}

/// Rows whose part of 32 bytes is read before the next part: 64 rows of 64 values are 16 KiB, which a first-level cache holds.
const BLOCK: usize = 64;

/// `out[at[q]..][..d] += Σ weights[q][r] · rows[r]` for rows of width `d` that stand one behind the other.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn add_rows<const Q: usize>(out: &mut [f32], at: [usize; Q], rows: &[f32], weights: [&[f32]; Q], d: usize) {
    let count = weights[0].len();
    assert!(
        rows.len() >= count * d
            && weights.iter().all(|weights| weights.len() == count)
            && at.iter().all(|at| at + d <= out.len())
    );
    for start in (0..count).step_by(BLOCK) {
        let block = start..count.min(start + BLOCK);
        let eights = d / 8 * 8;
        for i in (0..eights).step_by(8) {
            // SAFETY: `i + 8 <= d`, and the lengths are checked above; loads and stores need no alignment.
            unsafe {
                let outs = at.map(|at| out.as_mut_ptr().add(at + i).cast::<v128>());
                let mut sums = outs.map(|out| [v128_load(out), v128_load(out.add(1))]);
                for r in block.clone() {
                    let row = rows.as_ptr().add(r * d + i).cast::<v128>();
                    let [low, high] = [v128_load(row), v128_load(row.add(1))];
                    for (sums, weights) in sums.iter_mut().zip(weights) {
                        let weight = v128_load32_splat(weights.as_ptr().add(r).cast());
                        sums[0] = multiply_add(sums[0], weight, low);
                        sums[1] = multiply_add(sums[1], weight, high);
                    }
                }
                for (out, sums) in outs.into_iter().zip(sums) {
                    v128_store(out, sums[0]);
                    v128_store(out.add(1), sums[1]);
                }
            }
        }
        for i in eights..d {
            for (at, weights) in at.into_iter().zip(weights) {
                out[at + i] = block.clone().fold(out[at + i], |sum, r| sum + weights[r] * rows[r * d + i]);
            }
        }
    }
}
