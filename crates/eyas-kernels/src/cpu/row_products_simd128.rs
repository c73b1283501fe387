//! Products of a few vectors with many rows, in WebAssembly SIMD128 (base instructions only). The rows are read once for all vectors, whose sums stay in
//! registers: x64 has 16 of them. Four far rows at a time, or whole cache lines: memory answers many requests at once better than one after the other.

use std::ops::Range;

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
    let (vectors, part) = (d / 4, count / 4);
    // One of each quarter, and at last what is left, filled up with the last row: every row is summed in the same order wherever it stands.
    let quarters = (0..part).map(|r| [r, r + part, r + 2 * part, r + 3 * part]);
    let rest = (4 * part < count).then(|| [0, 1, 2, 3].map(|n| (4 * part + n).min(count - 1)));
    for four in quarters.chain(rest) {
        let mut sums = [[f32x4_splat(0.0); 4]; Q];
        for i in 0..vectors {
            // SAFETY: all four rows and all queries have `vectors` whole vectors (checked above); loads need no alignment.
            unsafe {
                let parts = four.map(|r| v128_load(rows.as_ptr().add(r * d + 4 * i).cast()));
                for (sums, query) in sums.iter_mut().zip(queries) {
                    let query = v128_load(query.as_ptr().add(4 * i).cast());
                    for (sum, part) in sums.iter_mut().zip(parts) {
                        *sum = multiply_add(*sum, query, part);
                    }
                }
            }
        }
        for ((scores, sums), query) in scores.iter_mut().zip(sums).zip(queries) {
            let total = lane_sums(sums);
            let mut set = |r: usize, mut product: f32| {
                if 4 * vectors < d {
                    product += query[4 * vectors..].iter().zip(&rows[r * d + 4 * vectors..]).map(|(a, b)| a * b).sum::<f32>();
                }
                scores[r] = product * scale;
            };
            set(four[0], f32x4_extract_lane::<0>(total));
            set(four[1], f32x4_extract_lane::<1>(total));
            set(four[2], f32x4_extract_lane::<2>(total));
            set(four[3], f32x4_extract_lane::<3>(total));
        }
    }
}

/// Rows of one of the streams that [`add_rows`] reads side by side: 4 KiB where a row is a cache line.
const STREAM: usize = 64;

/// How many there are.
const STREAMS: usize = 8;

/// `out[at[q]..][..width] += Σ weights[q][r] · rows[first + r]` for rows of so many values that stand one behind the other. The order of the sum is that of
/// the rows' own numbers, whatever `first` and the count: eight streams of 64 rows side by side.
#[inline(never)] // alone in a function, an engine keeps its sums in registers
pub(super) fn add_rows<const Q: usize>(
    out: &mut [f32],
    at: [usize; Q],
    rows: &[f32],
    first: usize,
    weights: [&[f32]; Q],
    width: usize,
) {
    let end = first + weights[0].len();
    assert!(
        rows.len() >= end * width
            && weights.iter().all(|weights| weights.len() == end - first)
            && at.iter().all(|at| at + width <= out.len())
    );
    // SAFETY: the lengths are checked above.
    unsafe {
        match width {
            16 => add_vectors::<Q, 4>(out, at, rows, first..end, weights),
            4 => add_vectors::<Q, 1>(out, at, rows, first..end, weights),
            _ => {
                for (at, weights) in at.into_iter().zip(weights) {
                    for (row, weight) in rows[first * width..].chunks_exact(width).zip(weights) {
                        out[at..][..width].iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
                    }
                }
            }
        }
    }
}

/// [`add_rows`] for rows of W vectors.
///
/// # Safety
/// `rows` must hold the rows of `range`, each of `weights` a weight for every one of them, and `out` W vectors behind each of `at`.
#[inline(always)]
unsafe fn add_vectors<const Q: usize, const W: usize>(
    out: &mut [f32],
    at: [usize; Q],
    rows: &[f32],
    range: Range<usize>,
    weights: [&[f32]; Q],
) {
    // SAFETY: the caller's; loads and stores need no alignment, and `add` is called with rows of the range only.
    unsafe {
        let outs = at.map(|at| out.as_mut_ptr().add(at).cast::<v128>());
        let mut sums: [[v128; W]; Q] = outs.map(|out| std::array::from_fn(|w| v128_load(out.add(w))));
        let mut add = |r: usize| {
            let row: [v128; W] = std::array::from_fn(|w| v128_load(rows.as_ptr().cast::<v128>().add(r * W + w)));
            for (sums, weights) in sums.iter_mut().zip(weights) {
                let weight = v128_load32_splat(weights.as_ptr().add(r - range.start).cast());
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = multiply_add(*sum, weight, row);
                }
            }
        };
        let whole = STREAM * STREAMS;
        for block in (range.start / whole * whole..range.end).step_by(whole) {
            let (begin, end) = (range.start.max(block) - block, (range.end - block).min(whole));
            if end - begin == whole {
                for r in block..block + STREAM {
                    for stream in 0..STREAMS {
                        add(r + stream * STREAM);
                    }
                }
                continue;
            }
            for r in 0..STREAM.min(end) {
                for stream in begin / STREAM..end.div_ceil(STREAM) {
                    let row = r + stream * STREAM;
                    if (begin..end).contains(&row) {
                        add(block + row);
                    }
                }
            }
        }
        for (out, sums) in outs.into_iter().zip(sums) {
            for (w, sum) in sums.into_iter().enumerate() {
                v128_store(out.add(w), sum);
            }
        }
    }
}
