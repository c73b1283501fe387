//! Between host memory and tensors.
//!
//! Burn's own conversions know every type of number, quantised tensors and tiled layouts. On a GPU they would keep the whole kernel compiler alive, so
//! only what a decoder needs is here: f32 values, u32 words, both contiguous.

use burn::{
    backend::{
        Dispatch,
        ops::{FloatTensorOps, IntTensorOps},
    },
    tensor::{Device, Int, Tensor, TensorData},
};
use eyas_core::{Error, Result};

use crate::KernelDevice;
#[cfg(feature = "gpu")]
use crate::gpu::upload_sum;

impl KernelDevice {
    /// A tensor of these values, row-major. The shape must hold as many.
    pub fn floats<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        #[cfg(feature = "gpu")]
        let sum = upload_sum::sum_of_sent(bytemuck::cast_slice(&values));
        let tensor = float_tensor(self.burn(), values, shape);
        #[cfg(feature = "gpu")]
        upload_sum::note(sum, || tensor.clone().try_into_primitive::<burn::backend::Cube>().ok());
        tensor
    }

    /// A tensor of these words, row-major. The shape must hold as many.
    pub fn words<const D: usize>(&self, words: Vec<u32>, shape: [usize; D]) -> Tensor<D, Int> {
        #[cfg(feature = "gpu")]
        let sum = upload_sum::sum_of_sent(&words);
        let tensor = Tensor::from_dispatch(Dispatch::int_from_data(TensorData::new(words, shape), self.burn().as_dispatch()));
        #[cfg(feature = "gpu")]
        upload_sum::note(sum, || tensor.clone().try_into_primitive::<burn::backend::Cube>().ok());
        tensor
    }
}

impl KernelDevice {
    /// A tensor `[rows, cols]` that is written before it is read: zeros on a CPU, undefined on a GPU, where none of it passes through the host's memory.
    pub fn unwritten(&self, [rows, cols]: [usize; 2]) -> Tensor<2> {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.gpu_context() {
            return Tensor::from_primitive::<burn::backend::Cube>(context.unwritten(rows, cols));
        }
        self.floats(vec![0.0; rows * cols], [rows, cols])
    }

    /// Gives buffers back to the GPU that are kept for the next tensor of their size.
    pub fn release_unused(&self) {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.gpu_context() {
            // Refused only while a step is recorded, which ends within one call.
            let _ = context.client.memory_cleanup();
        }
    }

    /// One value that stands where an operation needs none.
    pub fn unused(&self) -> Tensor<1> {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.gpu_context() {
            return Tensor::from_primitive::<burn::backend::Cube>(context.zero.clone());
        }
        self.floats(vec![0.0], [1])
    }
}

/// As [`KernelDevice::floats`], before there is such a device.
pub(crate) fn float_tensor<const D: usize>(device: &Device, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::float_from_data(TensorData::new(values, shape), device.as_dispatch()))
}

/// Reads a float tensor back to the host, row-major. Dropping the future is safe if [`KernelDevice::settle`] runs before the next work.
pub async fn read_f32<const D: usize>(device: &KernelDevice, tensor: Tensor<D>) -> Result<Vec<f32>> {
    #[cfg(feature = "gpu")]
    if device.is_gpu() {
        let tensor = tensor
            .try_into_primitive::<burn::backend::Cube>()
            .map_err(|error| Error::internal(format!("a tensor to read is not on the GPU: {error:?}")))?;
        return crate::gpu::staging::read_floats(device, &tensor).await;
    }
    #[cfg(feature = "cpu")]
    if !device.is_gpu() {
        let tensor = tensor
            .try_into_primitive::<burn::backend::Flex>()
            .map_err(|error| Error::internal(format!("a tensor to read is not on the CPU: {error:?}")))?;
        // Every tensor of this crate begins where its storage begins.
        let (values, count) = (tensor.storage::<f32>(), tensor.layout().shape().num_elements());
        return values.get(..count).map(<[f32]>::to_vec).ok_or_else(|| Error::internal("a tensor is shorter than its shape"));
    }
    Err(Error::internal(format!("no backend can read from {}", device.report().name)))
}
