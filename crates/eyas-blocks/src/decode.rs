//! Stored rows to floats.

use eyas_core::{Error, ErrorKind, Result};
use half::{bf16, f16};

use crate::{SourceKind, float8, ggml_block, ggml_superblock};

/// Decodes `rows` rows of `cols` columns as they are stored (`bytes`) to floats, `[rows, cols]` row-major. Of 8-bit floats these are the
/// numbers before they are scaled (a checkpoint scales them).
///
/// Fails with `internal` where the number of bytes is another than rows and columns need, with `bad-model` where columns are no whole
/// blocks, and with `out-of-memory`.
pub fn decode_rows(source: SourceKind, bytes: &[u8], rows: usize, cols: usize) -> Result<Vec<f32>> {
    let row_bytes = check_rows(source, bytes, rows, cols)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut weights = Vec::new();
    resize(&mut weights, rows, cols)?;
    for (row, out) in bytes.chunks_exact(row_bytes).zip(weights.chunks_exact_mut(cols)) {
        decode_row(source, row, out);
    }
    Ok(weights)
}

/// Decodes one row; `row` and `out` have the lengths that [`check_rows`] has checked.
pub(crate) fn decode_row(source: SourceKind, row: &[u8], out: &mut [f32]) {
    match source {
        SourceKind::F32 => {
            for (weight, bytes) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                *weight = f32::from_le_bytes(*bytes);
            }
        }
        SourceKind::F16 => {
            for (weight, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *weight = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        SourceKind::Bf16 => {
            for (weight, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *weight = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        SourceKind::F8E4M3 => {
            for (weight, &byte) in out.iter_mut().zip(row) {
                *weight = float8::e4m3(byte);
            }
        }
        SourceKind::Q8_0 => {
            for (weights, block) in out.as_chunks_mut::<32>().0.iter_mut().zip(row.as_chunks::<34>().0) {
                let (scale, quants) = split_block(block);
                for (weight, &quant) in weights.iter_mut().zip(quants) {
                    *weight = scale * f32::from(quant as i8);
                }
            }
        }
        SourceKind::Q4_0 => {
            for (weights, block) in out.as_chunks_mut::<32>().0.iter_mut().zip(row.as_chunks::<18>().0) {
                let (scale, quants) = split_block(block);
                let (low, high) = weights.split_at_mut(16);
                for ((low, high), &quant) in low.iter_mut().zip(high).zip(quants) {
                    *low = scale * (f32::from(quant & 15) - 8.0);
                    *high = scale * (f32::from(quant >> 4) - 8.0);
                }
            }
        }
        SourceKind::Q4_1 => each_block(row, out, ggml_block::q4_1),
        SourceKind::Q5_0 => each_block(row, out, |block, weights| multiply(ggml_block::q5_0(block), weights)),
        SourceKind::Q5_1 => each_block(row, out, ggml_block::q5_1),
        SourceKind::Iq4Nl => each_block(row, out, |block, weights| multiply(ggml_block::iq4_nl(block), weights)),
        SourceKind::Q2K => each_block(row, out, ggml_superblock::q2_k),
        SourceKind::Q3K => each_block(row, out, ggml_superblock::q3_k),
        SourceKind::Q4K => each_block(row, out, ggml_superblock::q4_k),
        SourceKind::Q5K => each_block(row, out, ggml_superblock::q5_k),
        SourceKind::Q6K => each_block(row, out, ggml_superblock::q6_k),
    }
}

/// Decodes blocks of `LEN` weights in `BYTES` bytes.
fn each_block<const BYTES: usize, const LEN: usize>(row: &[u8], out: &mut [f32], decode: impl Fn(&[u8; BYTES], &mut [f32; LEN])) {
    for (block, weights) in row.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        decode(block, weights);
    }
}

fn multiply((scale, integers): (f32, [i8; 32]), weights: &mut [f32; 32]) {
    for (weight, integer) in weights.iter_mut().zip(integers) {
        *weight = scale * f32::from(integer);
    }
}

/// The scale of a ggml block, and its integers.
pub(crate) fn split_block<const N: usize>(block: &[u8; N]) -> (f32, &[u8]) {
    let (scale, quants) = block.split_first_chunk().unwrap_or((&[0; 2], &[]));
    (f16::from_le_bytes(*scale).to_f32(), quants)
}

/// Checks that `bytes` are so many rows, and answers the bytes of a row.
pub(crate) fn check_rows(source: SourceKind, bytes: &[u8], rows: usize, cols: usize) -> Result<usize> {
    if !cols.is_multiple_of(source.block_len()) {
        return Err(Error::bad_model(format!(
            "expected columns that are a multiple of {}, as {source} stores whole blocks, found {cols}; convert the model again",
            source.block_len()
        )));
    }
    let row_bytes = source.row_bytes(cols);
    if row_bytes.checked_mul(rows) == Some(bytes.len()) {
        return Ok(row_bytes);
    }
    Err(Error::internal(format!(
        "expected {rows} rows of {row_bytes} bytes ({cols} columns of {source}), found {} bytes; please report this",
        bytes.len()
    )))
}

/// Makes `items` `rows * row_len` long with zeros, or fails with `out-of-memory`.
pub(crate) fn resize<T: Default + Clone>(items: &mut Vec<T>, rows: usize, row_len: usize) -> Result<()> {
    let out_of_memory = || {
        let detail =
            format!("{rows} rows of {row_len} numbers do not fit into memory; use a smaller model or fewer rows at once");
        Error::new(ErrorKind::OutOfMemory, detail)
    };
    let length = rows.checked_mul(row_len).ok_or_else(out_of_memory)?;
    items.try_reserve_exact(length).map_err(|error| out_of_memory().with_source(error))?;
    items.resize(length, T::default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_decode() {
        assert_eq!(decode_rows(SourceKind::F32, &1.5f32.to_le_bytes(), 1, 1).unwrap(), [1.5]);
        // f16: sign, 5 exponent bits with bias 15, 10 of mantissa: 0x3C00 is 1, 0xC000 is -2.
        assert_eq!(decode_rows(SourceKind::F16, &[0x00, 0x3C, 0x00, 0xC0], 2, 1).unwrap(), [1.0, -2.0]);
        // bf16: the upper half of an f32, 0x3F800000 is 1.
        assert_eq!(decode_rows(SourceKind::Bf16, &[0x80, 0x3F], 1, 1).unwrap(), [1.0]);
    }

    #[test]
    fn blocks_decode() {
        // Scale 0.5 is 0x3800 in f16.
        let mut q8 = vec![0x00, 0x38];
        q8.extend((0..32).map(|column| (column - 16i8) as u8));
        let weights = decode_rows(SourceKind::Q8_0, &q8, 1, 32).unwrap();
        assert_eq!((weights[0], weights[16], weights[31]), (-8.0, 0.0, 7.5));

        let mut q4 = vec![0x00, 0x38, 0xF0];
        q4.extend([0x88; 15]);
        let weights = decode_rows(SourceKind::Q4_0, &q4, 1, 32).unwrap();
        // The first byte's low nibble, 0, is column 0; its high nibble, 15, is column 16.
        assert_eq!((weights[0], weights[1], weights[16], weights[17]), (-4.0, 0.0, 3.5, 0.0));
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(decode_rows(SourceKind::F32, &[0; 7], 1, 2).unwrap_err().code(), "internal");
        assert_eq!(decode_rows(SourceKind::Q8_0, &[0; 34], 1, 31).unwrap_err().code(), "bad-model");
        assert!(decode_rows(SourceKind::F32, &[], usize::MAX, 0).unwrap().is_empty());
        assert!(decode_rows(SourceKind::F32, &[0; 4], usize::MAX, usize::MAX).is_err());
    }
}
