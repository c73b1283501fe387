//! The operations on Burn's CubeCL tensors: hand-written WGSL, launched through CubeCL.

pub(crate) mod audit;
mod backend;
pub(crate) mod device_setup;
mod drawer;
mod kernel;
mod picker;
pub(crate) mod read_queue;
mod recording;
mod small_read;
mod source;
mod staging;
pub(crate) mod upload_sum;

pub use recording::Recording;
