//! Launches that are computed again on the host: whether a GPU wrote what its kernels must write.
//!
//! While an audit is under way, every launch keeps its buffers. Then each kernel's output is compared with what the plain reference makes of the same
//! inputs, as they are in the GPU's memory: so a fault names its kernel, and whatever a model is built of is covered. A matrix is read a few rows at
//! a time and never unpacked whole.

use std::{cell::RefCell, ops::Range};

use burn::{
    backend::{Cube, wgpu::CubeTensor},
    tensor::{DType, Shape},
};
use bytemuck::cast_slice;
use cubecl::{client::Client, server::Handle};
use eyas_core::{BLOCK, Error, ErrorKind, Result};

use super::{
    kernel::{Kernel, Output},
    product::Input,
    staging::{Staging, resource},
};
use crate::{
    AttentionSpec, KernelBackend, KernelDevice, MatrixSpec, RopeSpec, RowCopy, Unpack, reference, row_pieces::row_pieces,
};

/// The largest difference allowed, as a part of the largest value of a row. Devices differ in the order of sums and in how exactly they compute exp
/// and tanh, and some take the smallest 16-bit floats for zero; what is wrong differs by more than all of that.
const TOLERANCE: f32 = 5e-3;

thread_local! {
    /// The launches of the audit that is under way.
    static LAUNCHES: RefCell<Option<Vec<Launch>>> = const { RefCell::new(None) };
}

/// A kernel that was launched, with its buffers.
struct Launch {
    kernel: Kernel,
    client: Client,
    /// Rows of the first tensor.
    rows: usize,
    buffers: Vec<Handle>,
    /// What a buffer that the kernel updates in place held before.
    before: Option<Handle>,
}

/// Takes down a launch that is about to be made, where an audit is under way.
pub(super) fn note(like: &CubeTensor, kernel: Kernel, buffers: &[&Handle]) {
    // Taken out meanwhile: the copy below is a launch too.
    let Some(mut launches) = LAUNCHES.take() else { return };
    let updated = match kernel {
        Kernel::Matmul { output: Output::Add, .. } => buffers.last(),
        Kernel::ResidualNorm { .. } | Kernel::Activate { .. } | Kernel::Softcap { .. } => buffers.first(),
        _ => None,
    };
    let before = updated.map(|handle| {
        let shape = Shape::new([1, words_of(handle)]);
        let whole = CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, (*handle).clone(), DType::F32);
        let copy = Cube::copy_rows(whole, RowCopy { parts: 1, start: 0, count: 1, capacity: 1 }).handle;
        // What earlier launches read from this buffer, or wrote to it, is in the copy from now on.
        for buffer in launches.iter_mut().flat_map(|launch| &mut launch.buffers) {
            if std::ptr::eq(buffer.memory.descriptor(), handle.memory.descriptor()) {
                *buffer = copy.clone();
            }
        }
        copy
    });
    let buffers = buffers.iter().map(|handle| (*handle).clone()).collect();
    launches.push(Launch { kernel, client: like.client.clone(), rows: like.meta.shape()[0], buffers, before });
    LAUNCHES.set(Some(launches));
}

/// See [`crate::audit`].
pub(crate) async fn audit<R>(
    device: &KernelDevice,
    positions: Range<usize>,
    unpack: Unpack,
    work: impl FnOnce() -> R,
) -> Result<R> {
    LAUNCHES.set(Some(Vec::new()));
    let result = work();
    let launches = LAUNCHES.take().unwrap_or_default();
    for launch in launches {
        Box::pin(launch.check(device, positions.clone(), unpack)).await?;
    }
    Ok(result)
}

impl Launch {
    /// Compares what was written for the tokens at `positions` with the reference.
    async fn check(self, device: &KernelDevice, positions: Range<usize>, unpack: Unpack) -> Result<()> {
        let tokens = positions.len();
        let skipped = match self.kernel {
            Kernel::Matmul { spec, .. } | Kernel::Embed { spec, .. } => 1 + usize::from(spec.kind.is_quantized()),
            _ => 0,
        };
        let (matrix, small) = self.buffers.split_at(skipped);
        let small: Vec<_> =
            small.iter().chain(&self.before).enumerate().map(|(index, handle)| self.part(index, handle, &positions)).collect();
        let words = read_parts(device, &self.client, &small).await?;
        let b: Vec<&[f32]> = words.iter().map(|words| cast_slice(words)).collect();
        match self.kernel {
            Kernel::Matmul { spec, output, input, .. } => {
                let (bias, rest) = if spec.has_bias { (Some(b[0]), &b[1..]) } else { (None, &b[..]) };
                let rounded = if input == Input::Rounded { unrounded(rest[0]) } else { Vec::new() };
                let x = first_rows(if rounded.is_empty() { rest[0] } else { &rounded }, tokens, spec.cols);
                let product = self.product(device, matrix, bias, x, (spec, output), unpack).await?;
                let (width, expected) = match output {
                    Output::Store => (spec.rows, product),
                    Output::Add => (spec.rows, rest[2].iter().zip(product).map(|(before, sum)| before + sum).collect()),
                    Output::Gated(activation) => (spec.rows / 2, reference::gated(&product, activation, spec.rows)),
                };
                compare("a product", rest[1], &expected, width)
            }
            Kernel::RoundX => {
                let width = b[0].len() / self.rows.max(1);
                compare("a rounded input", &unrounded(b[1]), first_rows(b[0], tokens, width), width)
            }
            Kernel::Embed { spec, scale_bits } => {
                for (token, id) in words[0].iter().skip(2).take(tokens).enumerate() {
                    let row = self.rows(device, matrix, spec, *id as usize..*id as usize + 1, unpack).await?;
                    let expected: Vec<f32> = row.iter().map(|value| value * f32::from_bits(scale_bits)).collect();
                    compare("an embedding", &b[1][token * spec.cols..], &expected, spec.cols)?;
                }
                Ok(())
            }
            Kernel::RmsNorm { cols, epsilon_bits, .. } => {
                let expected = reference::rms_norm(first_rows(b[0], tokens, cols), b[1], f32::from_bits(epsilon_bits));
                compare("a norm", b[2], &expected, cols)
            }
            Kernel::ResidualNorm { cols, spec, .. } => {
                let mut rest = b[2..].iter().copied();
                let post = if spec.post_epsilon().is_some() { rest.next() } else { None }.unwrap_or_default();
                let next = if spec.next_epsilon().is_some() { rest.next().zip(rest.next()) } else { None };
                let before = first_rows(rest.next().unwrap_or_default(), tokens, cols);
                let weight = next.map_or(&[][..], |(weight, _)| weight);
                let (sum, normed) = reference::residual_norm(before, b[1], post, weight, spec);
                compare("a sum", b[0], &sum, cols)?;
                next.map_or(Ok(()), |(_, y)| compare("a norm of a sum", y, &normed, cols))
            }
            Kernel::LayerNorm { cols, epsilon_bits, adds, .. } => {
                let x = first_rows(b[0], tokens, cols);
                let zeros = vec![0.0; x.len()];
                let (added, rest) = if adds { (b[1], &b[2..]) } else { (&zeros[..], &b[1..]) };
                let expected = reference::layer_norm(x, added, rest[0], rest[1], f32::from_bits(epsilon_bits));
                compare("a layer norm", rest[2], &expected, cols)
            }
            Kernel::Activate { activation } => {
                let width = b[0].len() / self.rows.max(1);
                let before = first_rows(b[1], tokens, width);
                let expected: Vec<f32> = before.iter().map(|x| reference::activate(activation, f64::from(*x)) as f32).collect();
                compare("an activation", b[0], &expected, width)
            }
            Kernel::Softcap { cap_bits } => {
                let width = b[0].len() / self.rows.max(1);
                let before = first_rows(b[1], tokens, width);
                let cap = f32::from_bits(cap_bits);
                let expected: Vec<f32> = before.iter().map(|x| reference::softcap(f64::from(*x), cap) as f32).collect();
                compare("a soft cap", b[0], &expected, width)
            }
            Kernel::RopeAppend { rope, spec, .. } => check_rope(&b, rope, seen(spec, &positions), positions),
            Kernel::Attention { spec, .. } => {
                let q = first_rows(b[0], tokens, spec.q_width());
                let expected = reference::attention(q, b[1], b[2], positions.start, seen(spec, &positions));
                compare("attention", b[4], &expected, spec.q_width())
            }
            Kernel::SplitAttention { rope, spec, splits, .. } => {
                let (q, table_row) = (&b[0][..spec.qkv_width()], &b[1][..rope.rotary_dim]);
                let weights = b.get(6).copied().unwrap_or_default();
                let rotated = reference::rotated_heads(&q[..spec.q_width() + spec.kv_width()], table_row, weights, rope, spec);
                let seen = seen(spec, &positions);
                check_appended(&b[3..5], &rotated, b[0], seen, positions.start)?;
                let expected = reference::attention(&rotated[..spec.q_width()], b[3], b[4], positions.start, seen);
                compare("a share of attention", &joined(b[5], spec, splits as usize), &expected, spec.q_width())
            }
            Kernel::JoinAttention { spec, splits } => {
                compare("attention", b[1], &joined(b[0], spec, splits as usize), spec.q_width())
            }
            // Copies of rows show in what follows them; the choice of a token is compared with that of the host where it matters.
            _ => Ok(()),
        }
    }

    /// What is read of a buffer that is no matrix: all of it, or the rows of `positions` in tables, and of those up to them in caches.
    fn part<'a>(&self, index: usize, handle: &'a Handle, positions: &Range<usize>) -> Part<'a> {
        let whole = Part { handle, start: 0, length: words_of(handle), stride: 0, count: 1 };
        match (self.kernel, index) {
            (Kernel::RopeAppend { rope, .. } | Kernel::SplitAttention { rope, .. }, 1) if rope.rotary_dim > 0 => {
                Part { start: positions.start * rope.rotary_dim, length: positions.len() * rope.rotary_dim, ..whole }
            }
            (Kernel::RopeAppend { spec, .. } | Kernel::SplitAttention { spec, .. }, 3 | 4)
            | (Kernel::Attention { spec, .. }, 1 | 2) => Part {
                length: seen(spec, positions).context * spec.head_dim,
                stride: spec.context * spec.head_dim,
                count: spec.kv_heads,
                ..whole
            },
            _ => whole,
        }
    }

    /// The product with `x`, `[x's rows, rows]`. Of a large matrix, rows here and there are computed; others are no numbers.
    async fn product(
        &self,
        device: &KernelDevice,
        matrix: &[Handle],
        bias: Option<&[f32]>,
        x: &[f32],
        (spec, output): (MatrixSpec, Output),
        unpack: Unpack,
    ) -> Result<Vec<f32>> {
        // A gate's row is multiplied with an up row: both are looked at.
        let units = if matches!(output, Output::Gated(_)) { spec.rows / 2 } else { spec.rows };
        let mut product = vec![f32::NAN; x.len() / spec.cols * spec.rows];
        for first in (0..spec.rows).step_by(units.max(1)) {
            for piece in row_pieces(units, spec.words_per_row() + spec.blocks_per_row()) {
                let rows = first + piece.start..first + piece.end;
                let weights = self.rows(device, matrix, spec, rows.clone(), unpack).await?;
                let bias = bias.map(|bias| &bias[rows.clone()]);
                let values = reference::matmul(&weights, bias, x, rows.len(), spec.cols);
                for (of_token, values) in product.chunks_mut(spec.rows).zip(values.chunks(rows.len())) {
                    of_token[rows.clone()].copy_from_slice(values);
                }
            }
        }
        Ok(product)
    }

    /// Rows of a packed matrix as floats.
    async fn rows(
        &self,
        device: &KernelDevice,
        matrix: &[Handle],
        spec: MatrixSpec,
        rows: Range<usize>,
        unpack: Unpack,
    ) -> Result<Vec<f32>> {
        let per_row = [spec.words_per_row(), spec.blocks_per_row()];
        let part =
            |(handle, per_row)| Part { handle, start: rows.start * per_row, length: rows.len() * per_row, stride: 0, count: 1 };
        let parts: Vec<_> = matrix.iter().zip(per_row).map(part).collect();
        let read = read_parts(device, &self.client, &parts).await?;
        let scales = read.get(1).map_or(&[][..], |scales| cast_slice(scales));
        Ok(unpack(spec.kind, &read[0], scales, rows.len(), spec.cols))
    }
}

/// Words of a buffer: `count` times `length`, from `start` on, at a distance of `stride`.
pub(crate) struct Part<'a> {
    pub(crate) handle: &'a Handle,
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// The words of each part, read at once.
pub(crate) async fn read_parts(device: &KernelDevice, client: &Client, parts: &[Part<'_>]) -> Result<Vec<Vec<u32>>> {
    let context = device.gpu_context().ok_or_else(|| Error::internal("buffers of a GPU are read on a device without one"))?;
    let mut sources = Vec::new();
    for part in parts {
        let source = resource(client, part.handle)?;
        for index in 0..part.count {
            let start = part.start + index * part.stride;
            sources.push((source.clone(), start..start + part.length));
        }
    }
    let staging = Staging::new(parts.iter().map(|part| part.count * part.length).sum(), context);
    let mut all = Box::pin(staging.read(device, &sources)).await?;
    let mut read = Vec::with_capacity(parts.len());
    for part in parts.iter().rev() {
        read.push(all.split_off(all.len() - part.count * part.length));
    }
    read.reverse();
    Ok(read)
}

/// The shape of a cache of which only the rows were read that a step up to these positions has written.
fn seen(spec: AttentionSpec, positions: &Range<usize>) -> AttentionSpec {
    spec.with_context(spec.context.min(positions.end))
}

fn words_of(handle: &Handle) -> usize {
    handle.size_in_used() as usize / 4
}

/// The values that [`Kernel::RoundX`] has rounded, from its output.
fn unrounded(rounded: &[f32]) -> Vec<f32> {
    let of_block = |block: &[f32]| {
        let scale = block[BLOCK / 2];
        let pairs: Vec<u32> = block[..BLOCK / 2].iter().map(|pair| pair.to_bits()).collect();
        pairs.into_iter().flat_map(move |pair| [pair as i16, (pair >> 16) as i16]).map(move |value| f32::from(value) * scale)
    };
    rounded.chunks_exact(BLOCK / 2 + 4).flat_map(of_block).collect()
}

/// The rows of the tokens that are not there for the kernels' sake only.
fn first_rows(values: &[f32], tokens: usize, width: usize) -> &[f32] {
    &values[..values.len().min(tokens * width)]
}

/// Queries, and what was appended to keys and values. Buffers: qkv, table, step, keys, values, queries, weights of norms.
fn check_rope(b: &[&[f32]], rope: RopeSpec, spec: AttentionSpec, positions: Range<usize>) -> Result<()> {
    let (q_width, kv_width) = (spec.q_width(), spec.kv_width());
    let weights = b.get(6).copied().unwrap_or_default();
    for (token, (position, row)) in positions.zip(b[0].chunks(spec.qkv_width())).enumerate() {
        let table_row = if rope.rotary_dim == 0 { &[][..] } else { &b[1][token * rope.rotary_dim..][..rope.rotary_dim] };
        let rotated = reference::rotated_heads(&row[..q_width + kv_width], table_row, weights, rope, spec);
        compare("a query", &b[5][token * q_width..], &rotated[..q_width], q_width)?;
        check_appended(&b[3..5], &rotated, row, spec, position)?;
    }
    Ok(())
}

/// Keys and values of a token in the `caches`, from its rotated queries and keys and its row of the product.
fn check_appended(caches: &[&[f32]], rotated: &[f32], row: &[f32], spec: AttentionSpec, position: usize) -> Result<()> {
    let d = spec.head_dim;
    for head in 0..spec.kv_heads {
        let (cached, from) = (spec.cache_index(head, position), spec.q_width() + head * d);
        compare("a key", &caches[0][cached..], &rotated[from..][..d], d)?;
        compare("a value", &caches[1][cached..], &row[from + spec.kv_width()..][..d], d)?;
    }
    Ok(())
}

/// What shares of attention come to.
fn joined(shares: &[f32], spec: AttentionSpec, splits: usize) -> Vec<f32> {
    let d = spec.head_dim;
    let of_head = |shares: &[f32]| {
        let largest = shares.chunks_exact(d + 2).map(|share| share[d]).fold(f32::NEG_INFINITY, f32::max);
        let (mut sums, mut total) = (vec![0.0; d], 0.0);
        for share in shares.chunks_exact(d + 2) {
            let factor = (share[d] - largest).exp();
            total += factor * share[d + 1];
            sums.iter_mut().zip(share).for_each(|(sum, value)| *sum += factor * value);
        }
        sums.into_iter().map(|sum| sum / total).collect::<Vec<_>>()
    };
    shares.chunks_exact(splits * (d + 2)).flat_map(of_head).collect()
}

/// Fails where a value of `found` is not near that of `expected`, as far as that reaches, in rows of `width`. What is expected to be no finite number
/// stands for nothing: it was not computed, or the model's weights are at fault.
fn compare(what: &str, found: &[f32], expected: &[f32], width: usize) -> Result<()> {
    for (found, expected) in found.chunks(width).zip(expected.chunks(width)) {
        let known = expected.iter().filter(|value| value.is_finite());
        let largest = known.fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| expected.is_finite()) {
            // No number is never within the tolerance.
            let is_close = (found - expected).abs() <= TOLERANCE * largest + f32::MIN_POSITIVE;
            if !is_close {
                return Err(Error::new(
                    ErrorKind::BadDevice,
                    format!(
                        "this device computes wrong values: {what} of the model is {found}, expected {expected}; use the CPU, or another browser or driver"
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_told() {
        let expected = [1.0, -4.0, f32::NAN, 0.5, 8.0, 0.0];
        assert!(compare("x", &[1.01, -4.01, 7.0, 0.5, 8.0, 0.03], &expected, 3).is_ok());
        for (index, wrong) in [(0, 1.03), (1, 4.0), (4, f32::NAN), (5, f32::INFINITY), (5, -0.05)] {
            let mut found = [1.0, -4.0, 7.0, 0.5, 8.0, 0.0];
            found[index] = wrong;
            assert_eq!(compare("x", &found, &expected, 3).unwrap_err().code(), "bad-device", "{wrong} at {index}");
        }
        assert!(compare("x", &[0.0, 1e-30], &[0.0, 0.0], 2).is_err(), "zeros are exact");
    }

    #[test]
    fn rounded_values_are_pairs_with_a_scale() {
        let mut block = [0.0; 20];
        block[0] = f32::from_bits(0xffff_0003);
        block[15] = f32::from_bits(0x7fff_0000);
        block[16] = 0.5;
        let mut expected = [0.0; 32];
        (expected[0], expected[1], expected[31]) = (1.5, -0.5, 16383.5);
        assert_eq!(unrounded(&block), expected);
    }
}
