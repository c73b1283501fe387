//! The operations on Burn's CubeCL tensors: hand-written WGSL, launched through CubeCL.

mod backend;
pub(crate) mod device_setup;
mod drawer;
mod kernel;
mod picker;
pub(crate) mod read_queue;
mod recording;
mod small_read;
mod source;

pub use recording::Recording;
