//! Matrices that come as a file stores them.

use eyas_blocks::{SourceKind, decode_rows};
use eyas_core::BLOCK;
use half::f16;
use proptest::prelude::*;

use super::{Outcome, noise, read};
use crate::{KernelDevice, MatrixSpec, MatrixUpload, StoredRows, embed, write_step};

/// Rows that are stored in blocks, of which some come first.
#[derive(Debug, Clone)]
pub struct Stored {
    source: SourceKind,
    rows: usize,
    blocks: usize,
    /// Rows of the first part, if they are no more than there are.
    first: usize,
    /// A block whose scale is not finite, if there are as many.
    damaged: usize,
    seed: u64,
}

pub(super) fn stored() -> impl Strategy<Value = Stored> {
    let source = prop_oneof![Just(SourceKind::Q4_0), Just(SourceKind::Q8_0)];
    let sizes = (1_usize..60, 1_usize..5, 0_usize..60, 0_usize..300);
    (source, sizes, any::<u64>()).prop_map(|(source, (rows, blocks, first, damaged), seed)| Stored {
        source,
        rows,
        blocks,
        first,
        damaged,
        seed,
    })
}

impl Stored {
    fn bytes(&self) -> Vec<u8> {
        let scales = noise(self.seed, self.rows * self.blocks);
        let quants = noise(self.seed ^ 1, self.rows * self.blocks * (self.source.block_bytes() - 2));
        let quants = quants.chunks(self.source.block_bytes() - 2);
        let block = |(scale, quants): (&f32, &[f32])| {
            // Now and then one that is subnormal as a half.
            let scale = f16::from_f32(if scale.abs() < 0.2 { scale * 1e-5 } else { *scale });
            let quants = quants.iter().map(|value| (value * 128.0).floor() as i8 as u8);
            scale.to_le_bytes().into_iter().chain(quants).collect::<Vec<_>>()
        };
        scales.iter().zip(quants).flat_map(block).collect()
    }

    /// All rows as a lookup gives them, beside the decoded ones, bit by bit; that none is taken with a scale that is not finite, nor on a GPU.
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { source, rows, blocks, .. } = *self;
        let (cols, kind, mut bytes) = (blocks * BLOCK, source.natural(), self.bytes());
        let spec = MatrixSpec { rows, cols, kind, has_bias: false };
        let mut upload = MatrixUpload::new(device, spec);
        let first = self.first.min(rows);
        if let Some(block) = bytes.chunks_exact_mut(source.block_bytes()).nth(self.damaged) {
            let not_finite = [0x7c00_u16, 0xfc00, 0x7e01, 0xfd55][self.damaged % 4];
            block[..2].copy_from_slice(&not_finite.to_le_bytes());
        }
        for (first, end) in [(0, first), (first, rows)] {
            let bytes = &bytes[first * source.row_bytes(cols)..end * source.row_bytes(cols)];
            let is_finite = !(first * blocks..end * blocks).contains(&self.damaged);
            let taken = upload.write_stored(first, &StoredRows { source, bytes, order: &|row| row });
            if taken != (is_finite && !device.is_gpu()) {
                return Err(format!("rows {first} to {end} were taken: {taken}"));
            }
            if !taken {
                return Ok(());
            }
        }
        let (words, scales) = upload.finish();
        let ids: Vec<u32> = (0..rows as u32).collect();
        let found = read(device, embed(words, scales, write_step(device, 0, &ids, rows), rows, 1.0, spec)).await?;
        let expected = decode_rows(source, &bytes, rows, cols).map_err(|error| error.to_string())?;
        // A zero may have either sign.
        let differs = |(a, b): (&f32, &f32)| (a + 0.0).to_bits() != (b + 0.0).to_bits();
        match found.iter().zip(&expected).position(differs) {
            Some(at) => {
                Err(format!("stored {source}: row {} column {} is {} and not {}", at / cols, at % cols, found[at], expected[at]))
            }
            None if found.len() != expected.len() => {
                Err(format!("stored {source}: {} values and not {}", found.len(), expected.len()))
            }
            None => Ok(()),
        }
    }
}
