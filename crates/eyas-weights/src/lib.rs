//! Model files to tensors: safetensors and GGUF behind a range reader.
//!
//! A [`Checkpoint`] reads only the headers of a model's files, checks every number in them against the files' sizes, and lists the
//! tensors; [`Checkpoint::read_rows`] then fetches any rows of any tensor, and [`pack_rows`] turns them into the layout in which a
//! matrix is held and multiplied ([`eyas_core::WeightKind`]). So a model of any size passes through a few megabytes of memory.
//!
//! What it does not do: it knows no architecture (which tensors a model needs, and whether their rows are permuted, is the model's
//! business), no configuration, no tokenizer and no network; it writes no files; and it decodes only the formats of [`SourceKind`].
//!
//! ```
//! use eyas_core::WeightKind;
//! use eyas_weights::{Checkpoint, MemoryFiles, ModelFiles, pack_rows};
//!
//! let header = br#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
//! let mut file = (header.len() as u64).to_le_bytes().to_vec();
//! file.extend(header);
//! file.extend([1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|weight| weight.to_le_bytes()));
//! let files = ModelFiles::Folder(MemoryFiles::new(vec![("model.safetensors".to_owned(), file)]).into());
//!
//! pollster::block_on(async {
//!     let checkpoint = Checkpoint::open(&files).await?;
//!     let w = checkpoint.tensor("w").expect("the file above has it");
//!     let bytes = checkpoint.read_rows(w, 1..2).await?;
//!     let packed = pack_rows(w.kind, &bytes, 1, w.cols(), WeightKind::F32)?;
//!     assert_eq!(packed.words, [3.0f32.to_bits(), 4.0f32.to_bits()]);
//!     Ok::<(), eyas_core::Error>(())
//! })?;
//! # Ok::<(), eyas_core::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panicking

mod checkpoint;
mod file_set;
mod fingerprint;
mod ggml_type;
mod gguf_header;
mod gguf_metadata;
mod gguf_parts;
mod gguf_value;
mod gguf_value_parser;
mod header_bytes;
mod mistaken_file;
mod range_reader;
mod safetensors;
mod shard_index;
mod tensor_info;
mod tensor_layout;
mod unique_map;
mod weight_scales;

pub use checkpoint::{Checkpoint, Format};
pub use eyas_blocks::{IQ4_VALUES, PackedRows, SourceKind, decode_rows, pack_rows, unpack_rows};
pub use eyas_core::LocalFuture;
pub use file_set::{DirectoryFiles, FileSet, MemoryFiles, ModelFiles, POOLING_FILE, check_file_name};
pub use fingerprint::Fingerprint;
pub use gguf_metadata::GgufMetadata;
pub use gguf_parts::gguf_part_names;
pub use gguf_value::{GgufArray, GgufStrings, GgufValue};
pub use mistaken_file::describe as describe_mistaken_file;
pub use range_reader::{FileReader, MemoryReader, RangeReader, read_all};
pub use tensor_info::TensorInfo;
