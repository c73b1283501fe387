//! Where a model computes.

use serde::{Deserialize, Serialize};

use crate::TuningReport;

/// The kind of device that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A GPU through WebGPU (or wgpu natively).
    Gpu,
    /// The CPU: WASM SIMD in a browser, plain Rust natively.
    Cpu,
}

/// Where a model runs, and why there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
    /// The kind of device.
    pub kind: DeviceKind,
    /// The adapter's name, or "CPU (WASM SIMD)", "CPU (WASM relaxed SIMD, pairs)" and the like.
    pub name: String,
    /// Whether the GPU adapter is a software implementation.
    pub is_fallback_adapter: bool,
    /// Why this device was chosen, in words.
    pub reason: String,
    /// How kernels are cut, where it is a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningReport>,
}
