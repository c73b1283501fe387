//! Reads of a few bytes through a staging buffer of exactly their size.
//!
//! CubeCL's staging buffers have 16 KiB at least and are mapped whole, and a browser moves what is mapped between two processes.

use burn::{
    backend::wgpu::CubeTensor,
    tensor::{Bytes, wgpu::wgpu},
};
use cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use eyas_core::Result;

use super::{device_setup::GpuContext, read_queue::lost};
use crate::KernelDevice;

/// A tensor with the buffer through which it is read.
pub(super) struct SmallRead {
    tensor: CubeTensor,
    /// Where the tensor lies, and stays as long as its handle lives.
    source: WgpuResource,
    staging: wgpu::Buffer,
    context: GpuContext,
}

impl SmallRead {
    /// Allocates the staging buffer for all of `tensor`.
    pub(super) fn new(tensor: CubeTensor, context: &GpuContext) -> Result<Self> {
        let source = tensor
            .client
            .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone())
            .map_err(|error| lost(&error.to_string()))?
            .resource()
            .clone();
        let staging = context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("eyas small read"),
            size: tensor.meta.shape().num_elements() as u64 * 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(Self { tensor, source, staging, context: context.clone() })
    }

    /// The tensor.
    pub(super) fn tensor(&self) -> &CubeTensor {
        &self.tensor
    }

    /// Its words, after everything that was launched before.
    pub(super) async fn read(&self, device: &KernelDevice) -> Result<Vec<u32>> {
        self.tensor.client.flush().map_err(|error| lost(&error.to_string()))?;
        let (source, gpu) = (&self.source, &self.context.device);
        let mut encoder = gpu.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("eyas small read") });
        encoder.copy_buffer_to_buffer(&source.buffer, source.offset, &self.staging, 0, self.staging.size());
        self.context.queue.submit([encoder.finish()]);
        let (mapped, is_mapped) = async_channel::bounded(1);
        self.staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // Nobody listens any more where the read was dropped.
            let _ = mapped.try_send(outcome);
        });
        let (staging, gpu) = (self.staging.clone(), gpu.clone());
        let bytes = device.reads().finish(async move {
            // A browser calls back by itself and ignores this.
            gpu.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| lost(&error.to_string()))?;
            match is_mapped.recv().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(lost(&error.to_string())),
                Err(error) => return Err(lost(&error.to_string())),
            }
            let mapped = staging.get_mapped_range(..).map_err(|error| lost(&error.to_string()))?;
            let bytes = Bytes::from_bytes_vec(mapped.to_vec());
            drop(mapped);
            staging.unmap();
            Ok(bytes)
        });
        Ok(bytemuck::pod_collect_to_vec(&bytes.await?))
    }
}

impl Drop for SmallRead {
    /// A browser would free the buffer only when it collects garbage. A read that was abandoned fails, which concerns nobody.
    fn drop(&mut self) {
        self.staging.destroy();
    }
}
