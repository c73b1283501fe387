//! Reads of buffers, or of parts of them, through a staging buffer of exactly their size, which is freed at once.
//!
//! CubeCL's staging buffers stay, have 16 KiB at least and are mapped whole, and a browser moves what is mapped between two processes.

use std::{future::poll_fn, ops::Range, task::Poll};

use burn::{
    backend::wgpu::CubeTensor,
    tensor::{Bytes, wgpu::wgpu},
};
use cubecl::{
    client::Client,
    server::Handle,
    wgpu::{AutoCompiler, WgpuResource, WgpuServer},
};
use eyas_core::{Error, Result};

use super::{device_setup::GpuContext, read_queue::lost};
use crate::KernelDevice;

/// Where the buffer of a handle lies, and stays as long as the handle lives.
pub(super) fn resource(client: &Client, handle: &Handle) -> Result<WgpuResource> {
    let resource = client.get_resource::<WgpuServer<AutoCompiler>>(handle.clone()).map_err(|error| lost(&error.to_string()))?;
    Ok(resource.resource().clone())
}

/// A buffer that other buffers are copied to and read from.
pub(super) struct Staging {
    pub(super) buffer: wgpu::Buffer,
    context: GpuContext,
}

impl Staging {
    /// Allocates room for so many words.
    pub(super) fn new(words: usize, context: &GpuContext) -> Self {
        let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("eyas staging"),
            size: words as u64 * 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { buffer, context: context.clone() }
    }

    /// The words in these ranges of buffers, one behind the other, after everything that was launched before. They must fill the staging buffer.
    pub(super) async fn read(&self, device: &KernelDevice, parts: &[(WgpuResource, Range<usize>)]) -> Result<Vec<u32>> {
        self.context.client.flush().map_err(|error| lost(&error.to_string()))?;
        let mut encoder =
            self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("eyas staging") });
        let mut filled = 0;
        for (source, words) in parts {
            let (start, length) = (words.start as u64 * 4, words.len() as u64 * 4);
            encoder.copy_buffer_to_buffer(&source.buffer, source.offset + start, &self.buffer, filled, length);
            filled += length;
        }
        self.submit(device, encoder).await
    }

    /// Submits commands, the last of which fill the staging buffer, and waits for its words.
    pub(super) async fn submit(&self, device: &KernelDevice, encoder: wgpu::CommandEncoder) -> Result<Vec<u32>> {
        let gpu = &self.context.device;
        self.context.queue.submit([encoder.finish()]);
        let (mapped, is_mapped) = async_channel::bounded(1);
        self.buffer.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // Nobody listens any more where the read was dropped.
            let _ = mapped.try_send(outcome);
        });
        let (staging, gpu) = (self.buffer.clone(), gpu.clone());
        let bytes = device.reads().finish(async move {
            let mut has_waited = false;
            // Natively the poll below blocks until the GPU is done: whoever would rather give up has a turn before, as in a browser.
            poll_fn(|context| {
                if std::mem::replace(&mut has_waited, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
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

/// Reads a whole tensor of floats, row-major.
pub(crate) async fn read_floats(device: &KernelDevice, tensor: &CubeTensor) -> Result<Vec<f32>> {
    let context = device.gpu_context().ok_or_else(|| Error::internal("a tensor is read on a device without a GPU"))?;
    let (source, words) = (resource(&tensor.client, &tensor.handle)?, tensor.meta.shape().num_elements());
    let read = Staging::new(words, context).read(device, &[(source, 0..words)]).await?;
    Ok(bytemuck::cast_vec(read))
}

impl Drop for Staging {
    /// A browser would free the buffer only when it collects garbage. A read that was abandoned fails, which concerns nobody.
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}
