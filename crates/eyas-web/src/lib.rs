//! The browser shell: the engine as wasm-bindgen exports, files over fetch and from blobs, the GPU probe and the clock.
//!
//! Built twice: with the feature `gpu` (WebGPU) and with the feature `cpu` (WASM SIMD); a device fetches one of the two modules.
//! Everything here exists on `wasm32` only; natively the crate is empty, so that the workspace builds as a whole.
//!
//! What it does not do: no policy of its own (the tier is chosen by `eyas-tier`, the device by TypeScript) and no worker protocol.

#[cfg(target_arch = "wasm32")]
mod blob_reader;
#[cfg(target_arch = "wasm32")]
mod cancel_handle;
#[cfg(target_arch = "wasm32")]
mod clock;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
mod fetch_newer;
#[cfg(target_arch = "wasm32")]
mod fresh_memory;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod host_clock;
#[cfg(target_arch = "wasm32")]
mod http_files;
#[cfg(target_arch = "wasm32")]
mod http_network;
#[cfg(target_arch = "wasm32")]
mod js_error;
#[cfg(target_arch = "wasm32")]
mod js_value;
#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
mod model_archive;
#[cfg(target_arch = "wasm32")]
mod opening;
#[cfg(target_arch = "wasm32")]
mod panic_report;
#[cfg(all(target_arch = "wasm32", feature = "parity"))]
mod parity;
#[cfg(target_arch = "wasm32")]
mod plan;
#[cfg(target_arch = "wasm32")]
mod progress_reports;
#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
mod relaxed_simd;
#[cfg(target_arch = "wasm32")]
mod source;
#[cfg(target_arch = "wasm32")]
mod store_host;
#[cfg(target_arch = "wasm32")]
mod stored_models;
#[cfg(target_arch = "wasm32")]
mod tier;
#[cfg(target_arch = "wasm32")]
mod update;

#[cfg(target_arch = "wasm32")]
pub use self::{
    cancel_handle::CancelHandle,
    engine::WasmEngine,
    plan::plan_model,
    stored_models::judge_model,
    tier::{WasmAnswer, WasmTier},
    update::try_newer,
};

#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
pub use self::{
    fetch_newer::fetch_newer,
    model_archive::{WasmExport, export_model, import_model},
    stored_models::{list_models, remove_model},
};

#[cfg(all(target_arch = "wasm32", feature = "parity"))]
pub use self::{fresh_memory::zeroed_blocks, parity::parity};
