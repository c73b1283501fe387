//! A device on which kernels run.

use burn::tensor::Device;
use eyas_core::{DeviceReport, Tuning, TuningReport, TuningSource};

/// A Burn device with what is known about it.
#[derive(Debug, Clone)]
pub struct KernelDevice {
    burn: Device,
    report: DeviceReport,
    tuning: Tuning,
    #[cfg(feature = "gpu")]
    gpu: Option<crate::GpuContext>,
    #[cfg(feature = "gpu")]
    reads: crate::gpu::read_queue::ReadQueue,
}

impl KernelDevice {
    /// The CPU through Burn's Flex backend.
    #[cfg(feature = "cpu")]
    pub fn cpu() -> Self {
        Self {
            burn: Device::flex(),
            report: DeviceReport {
                kind: eyas_core::DeviceKind::Cpu,
                name: crate::cpu::name().into(),
                is_fallback_adapter: false,
                reason: "the CPU was asked for".into(),
                tuning: None,
            },
            tuning: Tuning::SOFTWARE,
            #[cfg(feature = "gpu")]
            gpu: None,
            #[cfg(feature = "gpu")]
            reads: crate::gpu::read_queue::ReadQueue::default(),
        }
    }

    /// The GPU through WebGPU (wgpu natively). Fails with `webgpu-unavailable` where there is no adapter or no device.
    #[cfg(feature = "gpu")]
    pub async fn gpu() -> eyas_core::Result<Self> {
        crate::gpu::device_setup::open().await
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn with_gpu(burn: Device, report: DeviceReport, tuning: Tuning, context: crate::GpuContext) -> Self {
        Self { burn, report, tuning, gpu: Some(context), reads: crate::gpu::read_queue::ReadQueue::default() }
    }

    /// The WebGPU objects, where this is a GPU.
    #[cfg(feature = "gpu")]
    pub fn gpu_context(&self) -> Option<&crate::GpuContext> {
        self.gpu.as_ref()
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn reads(&self) -> &crate::gpu::read_queue::ReadQueue {
        &self.reads
    }

    /// Waits until nothing is being read from the device. Call it before submitting work after a future of this crate may have been dropped.
    pub async fn settle(&self) {
        #[cfg(feature = "gpu")]
        self.reads.settle().await;
    }

    /// Whether kernels run on a GPU.
    pub fn is_gpu(&self) -> bool {
        self.report.kind == eyas_core::DeviceKind::Gpu
    }

    /// How many columns of a value stand together in this device's caches; see [`crate::AttentionSpec::value_index`].
    pub fn value_strip(&self, spec: crate::AttentionSpec) -> usize {
        #[cfg(feature = "cpu")]
        if !self.is_gpu() {
            return crate::cpu::value_strip(spec.head_dim);
        }
        spec.head_dim
    }

    /// The Burn device.
    pub fn burn(&self) -> &Device {
        &self.burn
    }

    /// Name and kind.
    pub fn report(&self) -> &DeviceReport {
        &self.report
    }

    /// The same device with another reason to report.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.report.reason = reason.into();
        self
    }

    /// How kernels are cut for this device.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// The same device with other workgroup sizes, which must be valid; a CPU has none to change.
    #[must_use]
    pub fn with_tuning(mut self, sizes: Tuning, source: TuningSource) -> Self {
        if self.is_gpu() {
            self.tuning = sizes;
            self.report.tuning = Some(TuningReport { sizes, source });
        }
        self
    }

    /// The same device with the workgroup sizes that are fastest on its adapter, by trials of a few milliseconds each, a second in all on a
    /// software adapter; a CPU as it is. `now_ms` is a clock.
    /// Sizes with which the adapter computes other values, or which it refuses, are not taken; those that the device has now count where others are not clearly
    /// faster. Tells besides whether both rounds of measurements told the same. Fails with `device-lost`.
    #[allow(clippy::unused_async, unused_mut, unused_variables, reason = "only a GPU is measured")]
    pub async fn calibrated(mut self, now_ms: &dyn Fn() -> f64) -> eyas_core::Result<(Self, bool)> {
        #[cfg(feature = "gpu")]
        if self.is_gpu() {
            let (sizes, is_clear) = Box::pin(crate::gpu::calibration::fastest(&self, now_ms)).await?;
            return Ok((self.with_tuning(sizes, TuningSource::Measured), is_clear));
        }
        Ok((self, true))
    }
}
