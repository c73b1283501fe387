//! Stored rows of weights to the layout in which a matrix is held and multiplied.
//!
//! [`SourceKind`] names the formats in which files store weights; [`pack_rows`] moves rows bit by bit where nothing is lost by it, and rounds
//! them where something is asked for that the file does not have. Every weight that a CPU does not take as it is stored passes through here, so this
//! crate is optimised for speed where the readers of files (`eyas-weights`) are for size.
//!
//! ```
//! use eyas_blocks::{SourceKind, pack_rows};
//! use eyas_core::WeightKind;
//!
//! let stored: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|weight| weight.to_le_bytes()).collect();
//! let packed = pack_rows(SourceKind::F32, &stored, 1, 2, WeightKind::F32)?;
//! assert_eq!(packed.words, [1.0f32.to_bits(), 2.0f32.to_bits()]);
//! # Ok::<(), eyas_core::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panicking

mod decode;
mod float8;
mod ggml_block;
mod ggml_superblock;
mod pack;
mod quantize;
mod repack;
mod source_kind;
mod unpack;

pub use decode::decode_rows;
pub use ggml_block::IQ4_VALUES;
pub use pack::{PackedRows, pack_rows, pack_scaled};
pub use source_kind::SourceKind;
pub use unpack::unpack_rows;
