//! Collects the parts of a matrix while a file is read, and uploads it when the last one is there.

use eyas_core::{Error, Result, WeightKind};
use eyas_kernels::{KernelDevice, MatrixSpec, Uploads};
use eyas_weights::PackedRows;

use crate::linear::Linear;

/// One tensor of a matrix that is multiplied as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Rows of the part.
    pub(crate) rows: usize,
    /// Heads whose rotary pairs are stored side by side and must be set apart; 0 where rows are in order.
    pub(crate) interleaved_heads: usize,
    pub(crate) packed: Option<PackedRows>,
    pub(crate) bias: Option<Vec<f32>>,
}

/// A matrix in the making.
#[derive(Debug)]
pub(crate) struct MatrixBuilder {
    pub(crate) kind: WeightKind,
    pub(crate) cols: usize,
    pub(crate) has_bias: bool,
    pub(crate) parts: Vec<Part>,
}

impl MatrixBuilder {
    /// Rows of all parts.
    pub(crate) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Bytes that the finished matrix takes.
    pub(crate) fn spec(&self) -> MatrixSpec {
        MatrixSpec { rows: self.rows(), cols: self.cols, kind: self.kind, has_bias: self.has_bias }
    }

    /// Whether every part has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.packed.is_some() && (part.bias.is_some() || !self.has_bias))
    }

    /// Joins the parts and uploads them under this name. Fails with `out-of-memory` where the device has no room, and as [`Uploads::send`] does.
    pub(crate) async fn upload_watched(self, name: &str, uploads: &mut Uploads) -> Result<Linear> {
        let device = uploads.device().clone();
        device.check_buffer(self.spec().bytes()).map_err(|error| error.context(name))?;
        Box::pin(uploads.send(name, || self.upload(&device))).await?
    }

    fn upload(self, device: &KernelDevice) -> Result<Linear> {
        let spec = self.spec();
        let (word_cols, block_cols) = (spec.words_per_row(), spec.blocks_per_row());
        let mut parts = self.parts.into_iter();
        let mut whole = PackedRows { words: Vec::new(), scales: Vec::new() };
        let mut bias = Vec::new();
        let single = parts.len() == 1;
        for part in &mut parts {
            let Some(mut packed) = part.packed else {
                return Err(Error::internal("a matrix was uploaded before its last part was read"));
            };
            let mut part_bias = part.bias.unwrap_or_default();
            if part.interleaved_heads > 0 {
                packed.words = separate_pairs(&packed.words, part.rows, word_cols, part.interleaved_heads);
                packed.scales = separate_pairs(&packed.scales, part.rows, block_cols, part.interleaved_heads);
                if !part_bias.is_empty() {
                    part_bias = separate_pairs(&part_bias, part.rows, 1, part.interleaved_heads);
                }
            }
            bias.append(&mut part_bias);
            if single {
                whole = packed;
            } else {
                whole.words.append(&mut packed.words);
                whole.scales.append(&mut packed.scales);
            }
        }
        Ok(Linear::new(whole, spec.has_bias.then_some(bias), spec, device))
    }
}

/// Reorders the rows of each head from pairs side by side (`0, h, 1, h+1, …` for half size `h`) to halves (`0, 1, …, h, h+1, …`).
fn separate_pairs<T: Copy>(values: &[T], rows: usize, cols: usize, heads: usize) -> Vec<T> {
    let head_rows = rows / heads;
    let half = head_rows / 2;
    let mut out = Vec::with_capacity(values.len());
    for head in 0..heads {
        for row in 0..head_rows {
            let from = head * head_rows + if row < half { 2 * row } else { 2 * (row - half) + 1 };
            out.extend_from_slice(&values[from * cols..][..cols]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn pairs_become_halves() {
        let rows = [0, 2, 1, 3, 10, 12, 11, 13];
        assert_eq!(super::separate_pairs(&rows, 8, 1, 2), [0, 1, 2, 3, 10, 11, 12, 13]);
    }
}
