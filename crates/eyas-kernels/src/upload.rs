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

/// The uploads of a load: what a GPU holds is compared with what was sent to it, by a sum over the words of every buffer. A CPU is not looked at.
#[must_use = "what was sent last is compared when the uploads are finished"]
pub struct Uploads {
    device: KernelDevice,
    /// What was sent and not compared yet, each with its name.
    #[cfg(feature = "gpu")]
    sent: Vec<(String, crate::gpu::upload_sum::Sent)>,
}

impl Uploads {
    /// None yet.
    pub fn new(device: &KernelDevice) -> Self {
        Self {
            device: device.clone(),
            #[cfg(feature = "gpu")]
            sent: Vec::new(),
        }
    }

    /// The device that takes them.
    pub fn device(&self) -> &KernelDevice {
        &self.device
    }

    /// Runs `work`, which makes tensors of values of the host, and waits until the device has room for them. Fails as [`UploadScope::finish`] does, and
    /// with `bad-device` where the GPU holds other values than were sent here or before; the error names what was sent.
    pub async fn send<R>(&mut self, name: &str, work: impl FnOnce() -> R) -> Result<R> {
        let scope = self.device.begin_upload();
        #[cfg(feature = "gpu")]
        if self.device.is_gpu() {
            let (result, sent) = crate::gpu::upload_sum::during(work);
            self.sent.extend(sent.into_iter().map(|sent| (name.to_owned(), sent)));
            scope.finish().await.map_err(|error| error.context(name))?;
            if self.sent.iter().map(|(_, sent)| sent.words()).sum::<usize>() >= COMPARED_WORDS {
                self.compare().await?;
            }
            return Ok(result);
        }
        let result = work();
        scope.finish().await.map_err(|error| error.context(name))?;
        Ok(result)
    }

    /// Compares what was sent last. Fails with `bad-device` as [`Self::send`] does.
    #[allow(clippy::unused_async, unused_mut, reason = "only a GPU is looked at")]
    pub async fn finish(mut self) -> Result<()> {
        #[cfg(feature = "gpu")]
        self.compare().await?;
        Ok(())
    }

    #[cfg(feature = "gpu")]
    async fn compare(&mut self) -> Result<()> {
        Box::pin(crate::gpu::upload_sum::check(&self.device, &std::mem::take(&mut self.sent))).await
    }
}

/// Words that are sent before the GPU's sums are waited for: 64 MiB.
#[cfg(feature = "gpu")]
const COMPARED_WORDS: usize = 1 << 24;

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
