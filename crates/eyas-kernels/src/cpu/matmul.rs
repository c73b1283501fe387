//! Products with packed matrices.

use eyas_core::{BLOCK, WeightKind};

#[cfg(target_arch = "wasm32")]
use super::relaxed;
use super::{
    integer,
    quantized_input::QuantizedInput,
    row_groups::{GROUP, GroupRows, RowGroups, rows_in_group},
    vector,
};
use crate::MatrixSpec;

/// The rows of a packed matrix; quantised ones in groups (see `row_groups`).
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    words: &'a [u32],
    scales: &'a [f32],
    pub(super) spec: MatrixSpec,
}

impl<'a> Rows<'a> {
    pub(super) fn new(words: &'a [u32], scales: &'a [f32], spec: MatrixSpec) -> Self {
        Self { words, scales, spec }
    }

    /// Columns of a row with its padding.
    pub(super) fn padded_cols(&self) -> usize {
        match self.spec.kind {
            WeightKind::F32 => self.spec.cols,
            WeightKind::F16 | WeightKind::Bf16 => self.spec.cols.next_multiple_of(2),
            WeightKind::Q8 | WeightKind::Q4 => self.spec.cols.next_multiple_of(BLOCK),
        }
    }

    fn groups(&self) -> RowGroups<'a> {
        RowGroups { words: self.words, scales: self.scales, spec: self.spec }
    }

    /// Unpacks a row into `out`, which has [`Self::padded_cols`] values.
    pub(super) fn unpack(&self, index: usize, out: &mut [f32]) {
        let words = self.spec.words_per_row();
        let row = || &self.words[index * words..][..words];
        match self.spec.kind {
            WeightKind::F32 => out.copy_from_slice(bytemuck::cast_slice(row())),
            WeightKind::F16 => vector::unpack_f16(row(), out),
            WeightKind::Bf16 => vector::unpack_bf16(row(), out),
            WeightKind::Q8 | WeightKind::Q4 => self.groups().unpack(index, out),
        }
    }
}

/// Adds `x · Wᵀ + bias` to `out`: `x` is `[t, cols]`, `out` is `[t, rows]`.
pub(super) fn add_product(rows: &Rows, bias: &[f32], x: &[f32], out: &mut [f32]) {
    if rows.spec.kind.is_quantized() {
        add_integer_product(rows.groups(), x, out);
    } else {
        add_float_product(rows, x, out);
    }
    if rows.spec.has_bias {
        for out in out.chunks_mut(rows.spec.rows) {
            out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
        }
    }
}

/// Float weights: four rows are unpacked once for all tokens. Four tokens share a row, and tokens that are left share the four rows; both sum in the same
/// order, so a token's product does not depend on how many come with it.
fn add_float_product(rows: &Rows, x: &[f32], out: &mut [f32]) {
    let spec = rows.spec;
    let (padded, tokens) = (rows.padded_cols(), x.len() / spec.cols);
    let x_padded;
    let x = if padded == spec.cols {
        x
    } else {
        x_padded = x.chunks(spec.cols).flat_map(|row| row.iter().copied().chain([0.0])).collect::<Vec<_>>();
        &x_padded
    };
    let token = |t: usize| &x[t * padded..][..padded];
    let mut unpacked = [const { Vec::new() }; 4];
    let fours = tokens / 4 * 4;
    for first in (0..spec.rows).step_by(4) {
        let count = 4.min(spec.rows - first);
        if spec.kind != WeightKind::F32 {
            for (i, unpacked) in unpacked[..count].iter_mut().enumerate() {
                unpacked.resize(padded, 0.0);
                rows.unpack(first + i, unpacked);
            }
        }
        // Where fewer than four are left, the last one again.
        let four: [&[f32]; 4] = std::array::from_fn(|i| {
            let i = i.min(count - 1);
            if spec.kind == WeightKind::F32 {
                bytemuck::cast_slice(&rows.words[(first + i) * padded..][..padded])
            } else {
                &unpacked[i][..]
            }
        });
        for t in (0..fours).step_by(4) {
            for (r, row) in four[..count].iter().enumerate() {
                let sums = vector::dot_four(row, std::array::from_fn(|i| token(t + i)));
                for (i, sum) in sums.into_iter().enumerate() {
                    out[(t + i) * spec.rows + first + r] += sum;
                }
            }
        }
        for t in fours..tokens {
            let sums = vector::dot_four(token(t), four);
            out[t * spec.rows + first..][..count].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Groups that a product with one token reads side by side, each from its own part of the matrix: a processor fetches ahead within a page and has a bounded
/// number of instructions in flight, so that one stream of consecutive weights leaves it waiting at every page. How many pay was measured (performance.md).
const STREAMS: usize = 4;

/// Integer weights: activations are rounded once, then eight rows at a time are multiplied with all tokens.
fn add_integer_product(groups: RowGroups, x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "wasm32")]
    if groups.spec.kind == WeightKind::Q4
        && let Some(kernels) = relaxed::kernels()
    {
        let input = QuantizedInput::new(x, groups.spec.cols);
        let from = if input.tokens == 1 { relaxed::add_token_products(kernels, groups, &input, out) } else { 0 };
        let add = |group: GroupRows, acc: &mut [[f32; GROUP]]| relaxed::add_group(kernels, group, &input, acc);
        return add_groups(groups, from, input.tokens, add, out);
    }
    let input = QuantizedInput::new(x, groups.spec.cols);
    let from = if input.tokens == 1 { add_streams(groups, &input, out) } else { 0 };
    add_groups(groups, from, input.tokens, |group, acc| add_group(group, groups.spec.kind, &input, acc), out);
}

/// Adds the products of all tokens with the groups from `from` on. `add` adds those with one whole group to `[t, 8]`.
fn add_groups(groups: RowGroups, from: usize, tokens: usize, add: impl Fn(GroupRows, &mut [[f32; GROUP]]), out: &mut [f32]) {
    let rows = groups.spec.rows;
    if from * GROUP >= rows {
        return;
    }
    let mut acc = vec![[0.0; GROUP]; tokens];
    let (mut words, mut scales) = (Vec::new(), Vec::new());
    for row in (from * GROUP..rows).step_by(GROUP) {
        let count = rows_in_group(row, rows);
        let group = if count == GROUP {
            groups.group(row)
        } else {
            groups.filled_group(row, &mut words, &mut scales);
            (&words[..], &scales[..])
        };
        acc.fill([0.0; GROUP]);
        add(group, &mut acc);
        for (out, acc) in out.chunks_exact_mut(rows).zip(acc.iter()) {
            out[row..row + count].iter_mut().zip(acc).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Adds the products of one token with the first of the whole groups, [`STREAMS`] of them side by side; returns how many these are.
fn add_streams(groups: RowGroups, input: &QuantizedInput<i16>, out: &mut [f32]) -> usize {
    let count = groups.spec.rows / GROUP / STREAMS * STREAMS;
    add_token_products::<STREAMS>((groups.words, groups.scales), groups.spec.kind, input, &mut out[..count * GROUP]);
    count
}

/// Adds the products of one token with whole groups to `out` `[groups, 8]`, N of them side by side; N must divide their number.
fn add_token_products<const N: usize>(
    (words, scales): GroupRows,
    kind: WeightKind,
    input: &QuantizedInput<i16>,
    out: &mut [f32],
) {
    if kind == WeightKind::Q4 {
        integer::dot_q4::<N>((words, scales), &input.values, &input.scales, &input.sums, out);
    } else {
        integer::dot_q8::<N>((words, scales), &input.values, &input.scales, out);
    }
}

/// Adds the products of all tokens with a group to `acc` `[t, 8]`.
fn add_group((words, scales): GroupRows, kind: WeightKind, input: &QuantizedInput<i16>, acc: &mut [[f32; GROUP]]) {
    if let [acc] = acc {
        return add_token_products::<1>((words, scales), kind, input, acc);
    }
    let mut weights = [0_i16; BLOCK * GROUP];
    let block_words = words.chunks_exact(GROUP * kind.words_per_row(BLOCK));
    for (block, (words, scales)) in block_words.zip(scales.chunks_exact(GROUP)).enumerate() {
        if kind == WeightKind::Q4 {
            integer::unpack_q4(words, &mut weights);
        } else {
            integer::unpack_q8(words, &mut weights);
        }
        let (x, x_scales) = input.block(block);
        integer::add_block(&weights, scales, x, x_scales, acc);
    }
}
