//! Whether a device holds what was written to it, and computes what its kernels must.

use std::ops::Range;

use burn::tensor::{Int, Tensor};
use eyas_core::{Result, WeightKind};

use crate::{KernelDevice, MatrixSpec};

/// Turns `words` and `scales` of packed rows into `[rows, cols]` floats.
pub type Unpack = fn(kind: WeightKind, words: &[u32], scales: &[f32], rows: usize, cols: usize) -> Vec<f32>;

#[cfg_attr(not(feature = "gpu"), allow(unused_variables, clippy::unused_async, reason = "only a GPU is looked at"))]
/// Runs `work`, which launches the operations of this crate for a step at `positions`, and compares what each of them wrote on a GPU with what
/// [`crate::reference`] makes of the same inputs. Of a matrix above 16 MiB, rows here and there are looked at. No position may be appended to a cache
/// twice, and nothing recorded meanwhile. A CPU is not looked at.
///
/// # Errors
///
/// `bad-device` where a value differs by more than devices may, and `device-lost` where the device can't be read.
pub async fn audit<R>(device: &KernelDevice, positions: Range<usize>, unpack: Unpack, work: impl FnOnce() -> R) -> Result<R> {
    #[cfg(feature = "gpu")]
    if device.is_gpu() {
        return crate::gpu::audit::audit(device, positions, unpack, work).await;
    }
    Ok(work())
}

/// A checksum of what is to be uploaded of a matrix, by which an upload that arrived damaged is known. Nothing is summed up for a CPU.
#[derive(Debug, Clone, Copy)]
pub struct MatrixSum {
    #[cfg(feature = "gpu")]
    sum: Option<u32>,
}

impl MatrixSum {
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables, reason = "only a GPU is looked at"))]
    /// Sums up a packed matrix; of one above 16 MiB, rows here and there.
    pub fn new(device: &KernelDevice, words: &[u32], scales: &[f32], spec: MatrixSpec) -> Self {
        #[cfg(feature = "gpu")]
        {
            let mut sum = SEED;
            if device.is_gpu() {
                for rows in crate::row_pieces::row_pieces(spec.rows, spec.words_per_row() + spec.blocks_per_row()) {
                    let of = |per_row: usize| rows.start * per_row..rows.end * per_row;
                    sum = summed(sum, &words[of(spec.words_per_row())]);
                    sum = summed(sum, bytemuck::cast_slice(&scales[of(spec.blocks_per_row())]));
                }
            }
            Self { sum: device.is_gpu().then_some(sum) }
        }
        #[cfg(not(feature = "gpu"))]
        {
            Self {}
        }
    }

    #[cfg_attr(not(feature = "gpu"), allow(unused_variables, clippy::unused_async, reason = "only a GPU is looked at"))]
    /// Reads the matrix back from where [`crate::upload_matrix`] has put it. Fails with `bad-device` where it is not what was summed up.
    pub async fn check(self, device: &KernelDevice, words: Tensor<2, Int>, scales: Tensor<1>, spec: MatrixSpec) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(expected) = self.sum {
            use burn::backend::Cube;
            use eyas_core::{Error, ErrorKind};

            use crate::gpu::audit::{Part, read_parts};

            let missing = |error| Error::internal(format!("a matrix is not on the GPU: {error:?}"));
            let words = words.try_into_primitive::<Cube>().map_err(missing)?;
            let scales = scales.try_into_primitive::<Cube>().map_err(missing)?;
            let mut sum = SEED;
            for rows in crate::row_pieces::row_pieces(spec.rows, spec.words_per_row() + spec.blocks_per_row()) {
                let parts = [(&words.handle, spec.words_per_row()), (&scales.handle, spec.blocks_per_row())];
                let parts = parts.map(|(handle, per_row)| Part {
                    handle,
                    start: rows.start * per_row,
                    length: rows.len() * per_row,
                    stride: 0,
                    count: 1,
                });
                for part in read_parts(device, &words.client, &parts).await? {
                    sum = summed(sum, &part);
                }
            }
            if sum != expected {
                return Err(Error::new(
                    ErrorKind::BadDevice,
                    "a matrix arrived damaged in this device's memory; use the CPU, or another browser or driver",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(feature = "gpu")]
const SEED: u32 = 0x811c_9dc5;

/// The sum over more words (FNV-1a, by words).
#[cfg(feature = "gpu")]
fn summed(sum: u32, words: &[u32]) -> u32 {
    words.iter().fold(sum, |sum, word| (sum ^ word).rotate_left(5).wrapping_mul(0x0100_0193))
}
