//! A buffer that is filled piece by piece, each where it belongs.

use burn::{
    backend::wgpu::CubeTensor,
    tensor::{Bytes, DType, Shape},
};

use super::{
    device_setup::GpuContext,
    upload_sum::{self, summed},
};

/// A buffer in the making, with the sum of the words that were sent to it.
pub(crate) struct FilledBuffer {
    tensor: CubeTensor,
    sum: u32,
}

impl FilledBuffer {
    /// Allocates room for a tensor of 32-bit values; what is not written is undefined.
    pub(crate) fn new(context: &GpuContext, shape: Shape, dtype: DType) -> Self {
        let zero = &context.zero;
        let handle = zero.client.empty(shape.num_elements() * 4);
        Self { tensor: CubeTensor::new_contiguous(zero.client.clone(), zero.device.clone(), shape, handle, dtype), sum: 0 }
    }

    /// Sends words to the places from `first` on. No place may be written twice.
    pub(crate) fn write(&mut self, first: usize, words: Vec<u32>) {
        if words.is_empty() {
            return;
        }
        self.sum = self.sum.wrapping_add(summed(first, &words));
        let handle = self.tensor.handle.clone();
        let (before, sent) = (4 * first as u64, 4 * words.len() as u64);
        // Offsets are added to those that the handle has: its own size may be a multiple of what buffers begin at.
        let behind = handle.size_in_used() - before - sent;
        let part = handle.offset_start(before).offset_end(behind);
        self.tensor.client.write(&part, Bytes::from_elems(words));
    }

    /// The tensor, which is noted as sent.
    pub(crate) fn finish(self) -> CubeTensor {
        let words = self.tensor.meta.shape().num_elements();
        upload_sum::note(Some((words, self.sum)), || Some(self.tensor.clone()));
        self.tensor
    }
}
