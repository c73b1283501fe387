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

/// Rows of a part.
pub(crate) enum Rows<'a> {
    /// As the file has them.
    Stored(SourceKind, &'a [u8]),
    /// As [`WeightKind`] says.
    Packed(PackedRows),
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

    /// Sends the next rows of a part, whose number is [`Self::step`]'s but at the end. Answers `false`, and has sent nothing, where stored rows have to be
    /// packed before ([`MatrixUpload::write_stored`]). Fails with `out-of-memory` where the device has no room for the matrix, and as [`Uploads::send`] does.
    pub(crate) async fn send(&mut self, part: usize, rows: Rows<'_>, name: &str, uploads: &mut Uploads) -> Result<bool> {
        let spec = self.spec();
        let device = uploads.device().clone();
        if self.upload.is_none() {
            device.check_buffer(spec.bytes()).map_err(|error| error.context(name))?;
        }
        let before: usize = self.parts.iter().take(part).map(|part| part.rows).sum();
        let of_part = self.parts.get_mut(part).ok_or_else(|| Error::internal(format!("{name} has no part {part}")))?;
        let count = match &rows {
            Rows::Stored(source, bytes) => bytes.len() / source.row_bytes(self.cols).max(1),
            Rows::Packed(packed) => packed.words.len() / spec.words_per_row().max(1),
        };
        if of_part.sent_rows + count > of_part.rows {
            return Err(Error::bad_model(format!("{name}: the checkpoint has another tensor in its place")));
        }
        let (first, head_rows) = (before + of_part.sent_rows, of_part.head_rows());
        let upload = &mut self.upload;
        let write = || {
            let upload = upload.get_or_insert_with(|| MatrixUpload::new(&device, spec));
            match rows {
                Rows::Stored(source, bytes) => {
                    let order = |row| head_rows.map_or(row, |of_head| row - row % of_head + stored_place(row % of_head, of_head));
                    upload.write_stored(first, &StoredRows { source, bytes, order: &order })
                }
                Rows::Packed(mut packed) => {
                    if let Some(head_rows) = head_rows {
                        packed.words = separate_pairs(&packed.words, head_rows, spec.words_per_row());
                        packed.scales = separate_pairs(&packed.scales, head_rows, spec.blocks_per_row());
                    }
                    upload.write(first, packed.words, packed.scales);
                    true
                }
            }
        };
        let is_sent = Box::pin(uploads.send(name, write)).await?;
        of_part.sent_rows += if is_sent { count } else { 0 };
        Ok(is_sent)
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

    /// A matrix of a part in order and one whose heads of 12 rows are in pairs, of random blocks, sent in pieces as they are stored or packed. Answers
    /// whether all were sent, the rows sent of the second part, and the finished words and scales.
    fn sent(source: SourceKind, bytes: &[u8], is_stored: bool) -> (bool, usize, Vec<u32>, Vec<f32>) {
        let parts = [(21, 0), (24, 2)].map(|(rows, interleaved_heads)| Part { rows, interleaved_heads, ..Part::default() });
        let mut builder = MatrixBuilder::new(source.natural(), 64, false, parts.to_vec());
        let device = KernelDevice::cpu();
        let mut uploads = Uploads::new(&device);
        let mut is_sent = true;
        for (part, first, end) in [(0, 0, 9), (1, 21, 33), (0, 9, 21), (1, 33, 45)] {
            let bytes = &bytes[first * source.row_bytes(64)..end * source.row_bytes(64)];
            let rows = if is_stored {
                Rows::Stored(source, bytes)
            } else {
                Rows::Packed(eyas_weights::pack_rows(source, bytes, end - first, 64, source.natural()).unwrap())
            };
            is_sent &= pollster::block_on(builder.send(part, rows, "matrix", &mut uploads)).unwrap();
        }
        let (words, scales) = builder.upload.unwrap().finish();
        let words = words.into_data().iter::<i64>().map(|word| word as u32).collect();
        (is_sent, builder.parts[1].sent_rows, words, scales.into_data().iter::<f32>().collect())
    }

    #[test]
    fn stored_rows_of_heads_in_pairs_become_what_packed_ones_become() {
        for source in [SourceKind::Q4_0, SourceKind::Q8_0] {
            let mut bytes: Vec<u8> =
                (0..45 * source.row_bytes(64) as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
            for (at, block) in bytes.chunks_mut(source.block_bytes()).enumerate() {
                block[..2].copy_from_slice(&(0x2c00 + at as u16).to_le_bytes());
            }
            let (stored, packed) = (sent(source, &bytes, true), sent(source, &bytes, false));
            assert_eq!((stored.0, stored.1), (true, 24), "{source}");
            assert_eq!(stored, packed, "{source}");
            // The last rows of the second part: nothing of the piece counts as sent.
            let last = 44 * source.row_bytes(64);
            bytes[last..last + 2].copy_from_slice(&[0x00, 0x7c]);
            let damaged = sent(source, &bytes, true);
            assert_eq!((damaged.0, damaged.1), (false, 12), "{source}");
        }
    }
}
