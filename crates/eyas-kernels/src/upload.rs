//! Allocation under watch: an allocation that a GPU refuses is an error here, not zeros later.

use eyas_core::{Error, ErrorKind, Result};

use crate::KernelDevice;

/// Between [`KernelDevice::begin_upload`] and [`UploadScope::finish`], allocations and writes on the device are watched for failure. WebGPU reports
/// such failures only through error scopes: without one, a buffer that could not be made reads as zeros.
#[must_use = "an upload is checked when it is finished"]
pub struct UploadScope {
    #[cfg(feature = "gpu")]
    gpu: Option<gpu::Scopes>,
}

impl UploadScope {
    /// Waits for the device's verdict: `out-of-memory` where an allocation was refused, `internal` where a command was invalid.
    pub async fn finish(self) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(scopes) = self.gpu {
            return scopes.finish().await;
        }
        Ok(())
    }
}

impl KernelDevice {
    /// Begins to watch allocations; on a CPU there is nothing to watch.
    pub fn begin_upload(&self) -> UploadScope {
        UploadScope {
            #[cfg(feature = "gpu")]
            gpu: self.gpu_context().map(gpu::Scopes::open),
        }
    }

    /// Fails with `out-of-memory` where a buffer of that size can't be bound on this device at all.
    pub fn check_buffer(&self, bytes: u64) -> Result<()> {
        let limit = self.largest_buffer_bytes();
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "a tensor needs {bytes} bytes in one buffer, but {} allows {limit}; quantise to q8 or q4, or use the CPU",
                self.report().name
            ),
        ))
    }

    fn largest_buffer_bytes(&self) -> u64 {
        #[cfg(feature = "gpu")]
        if let Some(context) = self.gpu_context() {
            let limits = context.device.limits();
            return limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        }
        u64::MAX
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use burn::tensor::wgpu::wgpu::{ErrorFilter, ErrorScopeGuard};
    use eyas_core::{Error, ErrorKind, Result};

    use crate::GpuContext;

    /// One scope for each kind of failure.
    pub(super) struct Scopes {
        memory: ErrorScopeGuard,
        validation: ErrorScopeGuard,
        context: GpuContext,
    }

    impl Scopes {
        pub(super) fn open(context: &GpuContext) -> Self {
            let memory = context.device.push_error_scope(ErrorFilter::OutOfMemory);
            let validation = context.device.push_error_scope(ErrorFilter::Validation);
            Self { memory, validation, context: context.clone() }
        }

        pub(super) async fn finish(self) -> Result<()> {
            // Commands wait in the runtime until they are flushed; their failures belong into these scopes.
            let flushed = self.context.client.flush();
            let (validation, memory) = (self.validation.pop(), self.memory.pop());
            let (validation, memory) = (validation.await, memory.await);
            if let Some(error) = memory {
                return Err(Error::new(
                    ErrorKind::OutOfMemory,
                    format!("the GPU refused an allocation: {error}; quantise to q8 or q4, shorten the context, or use the CPU"),
                ));
            }
            if let Some(error) = validation {
                return Err(Error::internal(format!("the GPU refused a command: {error}")));
            }
            flushed.map_err(|error| {
                Error::new(ErrorKind::DeviceLost, format!("flushing the GPU's queue failed: {error}; load the model again"))
            })
        }
    }
}
