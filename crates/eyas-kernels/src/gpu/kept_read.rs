//! A tensor that is read again and again.

use burn::backend::wgpu::CubeTensor;
use cubecl::wgpu::WgpuResource;
use eyas_core::Result;

use super::{
    device_setup::GpuContext,
    staging::{Staging, resource},
};
use crate::KernelDevice;

/// A tensor with the buffer through which it is read.
pub(super) struct KeptRead {
    tensor: CubeTensor,
    source: WgpuResource,
    staging: Staging,
}

impl KeptRead {
    /// Allocates the staging buffer for all of `tensor`.
    pub(super) fn new(tensor: CubeTensor, context: &GpuContext) -> Result<Self> {
        let source = resource(&tensor.client, &tensor.handle)?;
        let staging = Staging::new(tensor.meta.shape().num_elements(), context);
        Ok(Self { tensor, source, staging })
    }

    /// The tensor.
    pub(super) fn tensor(&self) -> &CubeTensor {
        &self.tensor
    }

    /// Its words, after everything that was launched before.
    pub(super) async fn read(&self, device: &KernelDevice) -> Result<Vec<u32>> {
        self.staging.read(device, &[(self.source.clone(), 0..self.tensor.meta.shape().num_elements())]).await
    }
}
