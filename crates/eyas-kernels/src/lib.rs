//! The hot operations of a decoder, as one Burn backend extension.
//!
//! Each operation has a plain reference ([`reference`], in `f64`), a GPU kernel (hand-written WGSL, feature `gpu`) and a
//! CPU kernel (WASM SIMD128 or plain Rust, feature `cpu`). Activations are `f32`, row-major, and contiguous; matrices are
//! packed as [`eyas_core::WeightKind`] says, or taken as a file stores them ([`MatrixUpload`]). f16 arithmetic is never required.
//!
//! What it does not do: no model, no reading of files, no automatic differentiation, no batches of sequences.
//!
//! ```
//! use eyas_kernels::{KernelDevice, rms_norm};
//! let device = KernelDevice::cpu();
//! let x_td = device.floats(vec![3.0, 4.0], [1, 2]);
//! let weight_d = device.floats(vec![1.0, 1.0], [2]);
//! let y_td = rms_norm(x_td, weight_d, 0.0, device.tuning());
//! let values = y_td.into_data().to_vec::<f32>().unwrap();
//! assert!((values[0] - 3.0 / 12.5_f32.sqrt()).abs() < 1e-6);
//! ```

mod attention_spec;
mod audit;
mod buffer_bytes;
#[cfg(feature = "cpu")]
mod cpu;
mod device;
mod draw;
mod extension;
#[cfg(feature = "gpu")]
mod gpu;
mod logits;
mod matrix_spec;
mod matrix_upload;
mod operations;
#[cfg(feature = "parity")]
pub mod parity;
pub mod reference;
mod residual_spec;
#[cfg(feature = "gpu")]
mod row_pieces;
mod transfer;
mod upload;

pub use attention_spec::{AttentionSpec, QkNorm, RopeSpec};
pub use audit::{Unpack, audit};
pub use buffer_bytes::buffer_bytes;
#[cfg(feature = "cpu")]
pub use cpu::relaxed_simd;
pub use device::KernelDevice;
pub use draw::{Adjustments, Choice, DrawSpec, Draws};
pub use extension::{KernelBackend, RowCopy};
pub use eyas_core::Tuning;
#[cfg(feature = "gpu")]
pub use gpu::{GuessRecording, Recording, device_setup::GpuContext};
pub use logits::{first_largest, first_not_finite};
pub use matrix_spec::{Activation, MatrixSpec};
pub use matrix_upload::{MatrixUpload, StoredRows};
pub use operations::{
    activate, append_attention, attention, copy_cache, copy_rows, embed, layer_norm, matmul, matmul_add, matmul_gated,
    residual_norm, rms_norm, rope_append, softcap, upload_matrix, with_room, write_step,
};
pub use residual_spec::ResidualSpec;
pub use transfer::read_f32;
pub use upload::{UploadScope, Uploads};
