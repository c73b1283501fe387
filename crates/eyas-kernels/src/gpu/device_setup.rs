//! Makes the WebGPU device ourselves, with the adapter's own limits, and hands it to Burn.

use burn::{
    backend::{Cube, wgpu::CubeTensor},
    tensor::{
        Device,
        wgpu::{WgpuSetup, wgpu},
    },
};
use cubecl::{
    client::Client,
    config::{
        CubeClRuntimeConfig, RuntimeConfig,
        memory::{MemoryConfig, PersistentMemory},
    },
};
use eyas_core::{DeviceKind, DeviceReport, Error, ErrorKind, Result, Tuning, TuningReport, TuningSource};

use crate::{KernelDevice, transfer::float_tensor};

/// Commands collected before they are submitted: more than any token launches, so that a token is one submission.
const TASKS_MAX: usize = 4096;

/// The WebGPU objects behind a device.
#[derive(Clone)]
pub struct GpuContext {
    /// The device; Burn computes on it.
    pub device: wgpu::Device,
    /// Its adapter.
    pub adapter: wgpu::Adapter,
    /// Its queue.
    pub(crate) queue: wgpu::Queue,
    /// CubeCL's handle on the device.
    pub(crate) client: Client,
    /// One zero, for what needs no values: a kernel that has no bias is given this in its place.
    pub(crate) zero: CubeTensor,
}

impl GpuContext {
    /// A tensor `[rows, cols]` of floats in a buffer of its own, with whatever is there.
    pub(crate) fn unwritten(&self, rows: usize, cols: usize) -> CubeTensor {
        super::backend::float(&self.zero, rows, cols)
    }
}

impl std::fmt::Debug for GpuContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuContext").finish_non_exhaustive()
    }
}

/// Requests an adapter and a device and registers it with Burn.
pub(crate) async fn open() -> Result<KernelDevice> {
    let unavailable = |detail: String| Error::new(ErrorKind::WebgpuUnavailable, detail);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        })
        .await
        .map_err(|error| unavailable(format!("no WebGPU adapter: {error}; use the CPU instead")))?;
    let info = adapter.get_info();
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("eyas"),
            required_limits: adapter.limits(),
            ..wgpu::DeviceDescriptor::default()
        })
        .await
        .map_err(|error| {
            unavailable(format!("the adapter gave no device: {}; use the CPU instead", plain(&error.to_string())))
        })?;
    allocate_exactly();
    let (our_device, our_adapter, our_queue) = (device.clone(), adapter.clone(), queue.clone());
    let backend = info.backend;
    let burn = Device::wgpu_options()
        .tasks_max(TASKS_MAX)
        .setup(WgpuSetup { instance, adapter, device, queue, backend })
        .init()
        .map_err(|error| unavailable(format!("the compute runtime refused the device: {error}")))?;
    let zero = float_tensor(&burn, vec![0.0], [1])
        .try_into_primitive::<Cube>()
        .map_err(|error| unavailable(format!("the device's tensors are not on the GPU: {error:?}")))?;
    let client = zero.client.clone();
    let context = GpuContext { device: our_device, adapter: our_adapter, queue: our_queue, client, zero };
    let software = info.device_type == wgpu::DeviceType::Cpu || is_software_name(&info.name);
    let name = if info.name.is_empty() { format!("{:?}", info.backend) } else { info.name };
    let sizes = if software { Tuning::SOFTWARE } else { Tuning::HARDWARE };
    let report = DeviceReport {
        kind: DeviceKind::Gpu,
        name,
        is_fallback_adapter: software,
        reason: if software { "a WebGPU adapter is there, but it computes in software" } else { "a WebGPU adapter is there" }
            .into(),
        tuning: Some(TuningReport { sizes, source: TuningSource::Assumed }),
    };
    Ok(KernelDevice::with_gpu(burn, report, sizes, context))
}

/// Lets CubeCL make a buffer of just the size that was asked for, and use it again for that size only. Otherwise it makes pages of 16 KiB or more, which
/// follow the average of what was asked for, and nobody could tell beforehand what a model takes. [`crate::with_room`] keeps the sizes few.
fn allocate_exactly() {
    let memory = MemoryConfig { persistent_memory: PersistentMemory::Enforced, ..MemoryConfig::default() };
    // The second device of a process finds it set.
    let _ = CubeClRuntimeConfig::try_set(CubeClRuntimeConfig { memory, ..CubeClRuntimeConfig::default() });
}

/// A browser's error comes as `JsValue(Name: message`, then its stack: this is its first line without the wrapping.
fn plain(error: &str) -> &str {
    let line = error.lines().next().unwrap_or(error);
    line.split_once("JsValue(").map_or(line, |(_, message)| message)
}

/// Browsers don't tell an adapter's type; their software adapters are known by name.
fn is_software_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["swiftshader", "llvmpipe", "basic render"].iter().any(|software| name.contains(software))
}
