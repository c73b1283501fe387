//! The operations on Burn's CubeCL tensors: hand-written WGSL, launched through CubeCL.

mod attention;
pub(crate) mod audit;
mod backend;
pub(crate) mod calibration;
pub(crate) mod device_setup;
mod drawer;
pub(crate) mod filled_buffer;
mod guess_recording;
mod kept_read;
mod kernel;
mod one_by_one;
mod picker;
mod product;
pub(crate) mod read_queue;
mod recorded;
mod recording;
pub(crate) mod room;
mod source;
mod split_attention;
pub(crate) mod staging;
pub(crate) mod upload_sum;

pub use guess_recording::GuessRecording;
pub use recording::Recording;
