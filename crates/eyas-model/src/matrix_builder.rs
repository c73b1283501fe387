//! A matrix in the making while a file is read: its parts are sent to the device as they come, and it is finished when the last one is there.

use eyas_core::{Error, Result, WeightKind};
use eyas_kernels::{KernelDevice, MatrixSpec, MatrixUpload, StoredRows, Uploads};
use eyas_weights::{PackedRows, SourceKind};

use crate::linear::Linear;

/// One tensor of a matrix that is multiplied as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// Rows of the part.
    pub(crate) rows: usize,
    /// Heads whose rotary pairs are stored side by side and must be set apart; 0 where rows are in order.
    pub(crate) interleaved_heads: usize,
    /// Rows that were sent.
    pub(crate) sent_rows: usize,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Part {
    /// Rows of a head, where their order is not that of the finished matrix.
    fn head_rows(&self) -> Option<usize> {
        self.rows.checked_div(self.interleaved_heads).filter(|rows| *rows > 0)
    }
}

/// A matrix in the making.
pub(crate) struct MatrixBuilder {
    pub(crate) kind: WeightKind,
    pub(crate) cols: usize,
    pub(crate) has_bias: bool,
    pub(crate) parts: Vec<Part>,
    /// From the first rows on.
    pub(crate) upload: Option<MatrixUpload>,
}

impl MatrixBuilder {
    /// Nothing of it yet.
    pub(crate) fn new(kind: WeightKind, cols: usize, has_bias: bool, parts: Vec<Part>) -> Self {
        Self { kind, cols, has_bias, parts, upload: None }
    }

    /// Rows of all parts.
    pub(crate) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Shape and kind of the finished matrix.
    pub(crate) fn spec(&self) -> MatrixSpec {
        MatrixSpec { rows: self.rows(), cols: self.cols, kind: self.kind, has_bias: self.has_bias }
    }

    /// Whether every part has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.sent_rows == part.rows && (part.bias.is_some() || !self.has_bias))
    }

    /// Rows that are sent at a time, of about `rows`: whole heads where their rows must be reordered.
    pub(crate) fn step(&self, part: usize, rows: usize) -> usize {
        let whole = self.parts.get(part).and_then(Part::head_rows).unwrap_or(1);
        (rows / whole).max(1) * whole
    }

    /// Sends the next rows of a part as they are stored, whose number is [`Self::step`]'s but at the end; where the device wants them packed
    /// ([`MatrixUpload::write_stored`]), `pack` does. Fails with `out-of-memory` where the device has no room for the matrix, as `pack` and as
    /// [`Uploads::send`] do.
    pub(crate) async fn send(
        &mut self,
        part: usize,
        (source, bytes): (SourceKind, &[u8]),
        pack: &dyn Fn() -> Result<PackedRows>,
        name: &str,
        uploads: &mut Uploads,
    ) -> Result<()> {
        let spec = self.spec();
        let device = uploads.device().clone();
        if self.upload.is_none() {
            device.check_buffer(spec.bytes()).map_err(|error| error.context(name))?;
        }
        let before: usize = self.parts.iter().take(part).map(|part| part.rows).sum();
        let of_part = self.parts.get_mut(part).ok_or_else(|| Error::internal(format!("{name} has no part {part}")))?;
        let rows = bytes.len() / source.row_bytes(self.cols).max(1);
        if of_part.sent_rows + rows > of_part.rows {
            return Err(Error::bad_model(format!("{name}: the checkpoint has another tensor in its place")));
        }
        let first = before + of_part.sent_rows;
        of_part.sent_rows += rows;
        let head_rows = of_part.head_rows();
        let order = |row| head_rows.map_or(row, |head_rows| row - row % head_rows + stored_place(row % head_rows, head_rows));
        let upload = &mut self.upload;
        let write = || {
            let upload = upload.get_or_insert_with(|| MatrixUpload::new(&device, spec));
            if upload.write_stored(first, &StoredRows { source, bytes, order: &order }) {
                return Ok(());
            }
            let mut packed = pack()?;
            if let Some(head_rows) = head_rows {
                packed.words = separate_pairs(&packed.words, head_rows, spec.words_per_row());
                packed.scales = separate_pairs(&packed.scales, head_rows, spec.blocks_per_row());
            }
            upload.write(first, packed.words, packed.scales);
            Ok(())
        };
        Box::pin(uploads.send(name, write)).await?
    }

    /// Makes the module of a matrix that is complete. Fails as [`Uploads::send`] does.
    pub(crate) async fn finish(self, name: &str, uploads: &mut Uploads) -> Result<Linear> {
        let device = uploads.device().clone();
        Box::pin(uploads.send(name, || self.finished(&device))).await?
    }

    fn finished(self, device: &KernelDevice) -> Result<Linear> {
        let spec = self.spec();
        let Some(upload) = self.upload.filter(|_| self.parts.iter().all(|part| part.sent_rows == part.rows)) else {
            return Err(Error::internal("a matrix was finished before its last part was read"));
        };
        let mut bias = Vec::new();
        for part in self.parts {
            let head_rows = part.head_rows();
            let values = part.bias.unwrap_or_default();
            match head_rows {
                Some(head_rows) => bias.extend(separate_pairs(&values, head_rows, 1)),
                None => bias.extend(values),
            }
        }
        Ok(Linear::new(upload, spec.has_bias.then_some(bias), spec, device))
    }
}

/// Reorders the rows of whole heads from pairs side by side (`0, h, 1, h+1, …` for half size `h`) to halves (`0, 1, …, h, h+1, …`).
fn separate_pairs<T: Copy>(values: &[T], head_rows: usize, cols: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks((head_rows * cols).max(1)) {
        for row in 0..head_rows {
            out.extend_from_slice(&head[stored_place(row, head_rows) * cols..][..cols]);
        }
    }
    out
}

/// Where a row of a head stands among its rows in pairs.
fn stored_place(row: usize, head_rows: usize) -> usize {
    let half = head_rows / 2;
    if row < half { 2 * row } else { 2 * (row - half) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_halves() {
        let rows = [0, 2, 1, 3, 10, 12, 11, 13];
        assert_eq!(separate_pairs(&rows, 4, 1), [0, 1, 2, 3, 10, 11, 12, 13]);
        assert_eq!(separate_pairs(&rows, 2, 2), [0, 2, 1, 3, 10, 12, 11, 13]);
        assert!(separate_pairs::<u32>(&[], 4, 0).is_empty());
    }

    #[test]
    fn pieces_are_whole_heads_where_rows_are_reordered() {
        let parts = vec![Part { rows: 12, interleaved_heads: 3, ..Part::default() }, Part { rows: 5, ..Part::default() }];
        let builder = MatrixBuilder::new(WeightKind::F32, 8, false, parts);
        assert_eq!([0, 1, 7, 8, 100].map(|rows| builder.step(0, rows)), [4, 4, 4, 8, 100]);
        assert_eq!([0, 3].map(|rows| builder.step(1, rows)), [1, 3]);
    }
}
