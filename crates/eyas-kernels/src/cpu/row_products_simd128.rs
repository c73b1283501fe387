//! Products of a few vectors with many rows, in WebAssembly SIMD128 (base instructions only). The rows are read once for all vectors, whose sums stay in
//! registers: x64 has 16 of them. Far rows at a time, or whole cache lines: memory answers many requests at once better than one after the other. Loops
//! over registers count through arrays: an engine's compiler keeps what iterators move in memory.
#![allow(clippy::needless_range_loop, reason = "loops over registers, which are unrolled")]

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
    // SAFETY: the lengths are checked above.
    unsafe {
        let (queries, scores) = (queries.map(<[f32]>::as_ptr), scores.each_mut().map(|scores| scores.as_mut_ptr()));
        // No more sums than there are registers for, beside the operands.
        if Q < 3 {
            dot_vectors::<Q, 4>(queries, rows.as_ptr(), d, count, scale, scores);
        } else {
            dot_vectors::<Q, 2>(queries, rows.as_ptr(), d, count, scale, scores);
        }
    }
    let whole = d / 4 * 4;
    if whole < d {
        for (scores, query) in scores.into_iter().zip(queries) {
            for (score, row) in scores.iter_mut().zip(rows.chunks_exact(d)) {
                *score += scale * query[whole..].iter().zip(&row[whole..]).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }
}

/// [`dot_rows`] of the whole vectors of `count` rows of `d` values, N of them at a time.
///
/// # Safety
/// `rows` must point at so many rows, each of `queries` at `d` values, and each of `scores` at `count`.
#[inline(always)]
unsafe fn dot_vectors<const Q: usize, const N: usize>(
    queries: [*const f32; Q],
    rows: *const f32,
    d: usize,
    count: usize,
    scale: f32,
    scores: [*mut f32; Q],
) {
    let part = count / N;
    // One of each part, and at last what is left, filled up with the last row: every row is summed in the same order wherever it stands.
    for step in 0..part + usize::from(N * part < count) {
        let these: [usize; N] =
            core::array::from_fn(|n| if step < part { step + n * part } else { (N * part + n).min(count - 1) });
        // SAFETY: the caller's; loads need no alignment.
        unsafe {
            let rows = these.map(|row| rows.add(row * d).cast::<v128>());
            let mut sums = [[f32x4_splat(0.0); N]; Q];
            for i in 0..d / 4 {
                let parts = rows.map(|row| v128_load(row.add(i)));
                for q in 0..Q {
                    let query = v128_load(queries[q].cast::<v128>().add(i));
                    for n in 0..N {
                        sums[q][n] = multiply_add(sums[q][n], query, parts[n]);
                    }
                }
            }
            for q in 0..Q {
                let total = lane_sums(core::array::from_fn(|n| sums[q][n % N]));
                let totals = [
                    f32x4_extract_lane::<0>(total),
                    f32x4_extract_lane::<1>(total),
                    f32x4_extract_lane::<2>(total),
                    f32x4_extract_lane::<3>(total),
                ];
                for n in 0..N {
                    *scores[q].add(these[n]) = totals[n] * scale;
                }
            }
        }
    }
}

/// Streams of rows that [`add_rows`] reads side by side.
const STREAMS: usize = 8;

/// Rows of a stream in the block of rows that begins at `block`, and in the later ones: 4 KiB at first, where a row is a cache line; then more, since a processor
/// that reads on finds the next page by itself.
const fn stream_rows(block: usize) -> usize {
    match block {
        0 => 64,
        512 => 192,
        _ => 256,
    }
}

/// `out[at[q]..][..width] += Σ weights[q][r] · rows[first + r]` for rows of so many values that stand one behind the other. The order of the sum is that of
/// the rows' own numbers, whatever `first` and the count: eight streams side by side in each block.
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
        let (start, sums) = (weights.map(<[f32]>::as_ptr), at.map(|at| out.as_mut_ptr().add(at)));
        match width {
            16 => add_vectors::<Q, 4>(sums, rows.as_ptr(), first, end, start),
            4 => add_vectors::<Q, 1>(sums, rows.as_ptr(), first, end, start),
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

/// [`add_rows`] for the rows `first..end` of W vectors.
///
/// # Safety
/// `rows` must point at `end` rows, each of `weights` at one for every row from `first` on, and each of `out` at W vectors.
#[inline(always)]
unsafe fn add_vectors<const Q: usize, const W: usize>(
    out: [*mut f32; Q],
    rows: *const f32,
    first: usize,
    end: usize,
    weights: [*const f32; Q],
) {
    // SAFETY: the caller's; loads and stores need no alignment.
    unsafe {
        let mut sums = [[f32x4_splat(0.0); W]; Q];
        for q in 0..Q {
            for w in 0..W {
                sums[q][w] = v128_load(out[q].cast::<v128>().add(w));
            }
        }
        let mut block = 0;
        while block < end {
            let length = stream_rows(block);
            if block + length * STREAMS <= first {
                block += length * STREAMS;
                continue;
            }
            let (from, to) = (first.saturating_sub(block), (end - block).min(length * STREAMS));
            // At each place in the streams, `stream..last` have a row within `from..to`; which ones these are changes at the two bounds in the middle only.
            let (skipped, reached) = (from % length, to % length);
            let bounds = [0, skipped.min(reached), skipped.max(reached), length];
            for span in 0..3 {
                let begin = bounds[span];
                let (stream, last) = (from / length + usize::from(begin < skipped), to / length + usize::from(begin < reached));
                for at in begin..bounds[span + 1] {
                    let row = block + at + stream * length;
                    let mut parts = rows.cast::<v128>().wrapping_add(row * W);
                    let mut weights = weights.map(|weights| weights.wrapping_add(row).wrapping_sub(first));
                    for _ in stream..last {
                        let part: [v128; W] = core::array::from_fn(|w| v128_load(parts.add(w)));
                        for q in 0..Q {
                            let weight = v128_load32_splat(weights[q].cast());
                            for w in 0..W {
                                sums[q][w] = multiply_add(sums[q][w], weight, part[w]);
                            }
                            weights[q] = weights[q].wrapping_add(length);
                        }
                        parts = parts.wrapping_add(length * W);
                    }
                }
            }
            block += length * STREAMS;
        }
        for q in 0..Q {
            for w in 0..W {
                v128_store(out[q].cast::<v128>().add(w), sums[q][w]);
            }
        }
    }
}
