//! Whether a device computes what its kernels must.

use std::ops::Range;

use eyas_core::{Result, WeightKind};

use crate::KernelDevice;

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
