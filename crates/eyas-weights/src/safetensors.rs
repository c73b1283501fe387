//! The header of a safetensors file: eight bytes of length, then JSON that places every tensor.
//!
//! Reference: the format's description in the `safetensors` repository's README. Holes between tensors are tolerated; that
//! tensors overlap, leave the file or have another size than their shape says is not.

use std::fmt;

use eyas_core::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use crate::{
    RangeReader, SourceKind, TensorInfo, mistaken_file,
    range_reader::read_exactly,
    tensor_layout::{MAX_DIMS, MAX_NAME_BYTES, MAX_TENSORS, axes, check_no_overlap, kind_bytes, tensor_bytes},
    unique_map::UniqueMap,
};

/// Bytes of a header at most, as in the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// What is read at once: more than the headers of most models, little enough to waste.
const FIRST_READ_BYTES: u64 = 64 << 10;

/// What a header says.
#[derive(Debug)]
pub(crate) struct SafetensorsHeader {
    /// The tensors that can be read.
    pub(crate) tensors: Vec<TensorInfo>,
    /// Names of buffers that hold no weights (`I64`, `BOOL`: position ids, masks); they are not read.
    pub(crate) buffers: Vec<String>,
}

/// Reads and checks the header of one file, which becomes number `file` of its checkpoint.
pub(crate) async fn read_header(reader: &dyn RangeReader, file: usize) -> Result<SafetensorsHeader> {
    let size = reader.size();
    // Lossless: bounded by the constant.
    let mut bytes = read_exactly(reader, 0, size.min(FIRST_READ_BYTES) as usize).await?;
    let Some(length) = bytes.first_chunk().map(|length| u64::from_le_bytes(*length)) else {
        let found = mistaken_file::describe(&bytes);
        let detail = format!("{}: expected a safetensors file of 8 bytes and more, found {size}: {found}", reader.name());
        return Err(Error::bad_model(detail));
    };
    let limit = MAX_HEADER_BYTES.min(size - 8);
    if length > limit {
        let found = mistaken_file::describe(&bytes);
        return Err(Error::bad_model(format!(
            "{}: expected a safetensors header of at most {limit} bytes, as the file has {size}, found a length of {length}; either the \
             file is truncated, or it is no safetensors file: {found}",
            reader.name()
        )));
    }
    let data_begin = 8 + length;
    let known = bytes.len();
    if data_begin > known as u64 {
        // Lossless: bounded by the header's limit.
        let rest = read_exactly(reader, known as u64, data_begin as usize - known).await?;
        bytes.extend(rest);
    }
    let json = bytes.get(8..data_begin as usize).unwrap_or_default();
    parse(json, data_begin, size, file).map_err(|error| error.context(reader.name()))
}

/// Parses the JSON of a header; `data_begin` is where the data begins in a file of `size` bytes.
fn parse(json: &[u8], data_begin: u64, size: u64, file: usize) -> Result<SafetensorsHeader> {
    let members: UniqueMap<Entry, MAX_TENSORS> = serde_json::from_slice(json).map_err(|error| {
        let detail = format!("expected a safetensors header in JSON, found an error in it: {error}; download the file again");
        Error::bad_model(detail).with_source(error)
    })?;
    let mut header = SafetensorsHeader { tensors: Vec::new(), buffers: Vec::new() };
    let mut ranges = Vec::new();
    for (name, entry) in &members.0 {
        if name.len() > MAX_NAME_BYTES {
            return Err(Error::bad_model(format!(
                "expected tensor names of at most {MAX_NAME_BYTES} bytes, found one of {}; the file is damaged",
                name.len()
            )));
        }
        let (kind, expected) = match dtype(&entry.dtype) {
            Dtype::Weights(kind) => (Some(kind), kind_bytes(name, &entry.shape.0, kind)?),
            Dtype::Buffer(bytes) => (None, tensor_bytes(name, &entry.shape.0, 1, bytes)?),
            Dtype::Unsupported => {
                return Err(Error::unsupported(format!(
                    "tensor {name:?}: expected the dtype F32, F16, BF16 or F8_E4M3, found {:?}; use a version of the model in one of these",
                    entry.dtype
                )));
            }
        };
        let [begin, end] = entry.data_offsets;
        let data_bytes = size.saturating_sub(data_begin);
        if begin > end || end > data_bytes {
            return Err(Error::bad_model(format!(
                "tensor {name:?}: expected data within {data_bytes} bytes, found it from {begin} to {end}; the file is truncated or damaged, \
                 download it again"
            )));
        }
        if end - begin != expected {
            return Err(Error::bad_model(format!(
                "tensor {name:?}: expected {expected} bytes for the shape {:?} in {}, found {}; the file is damaged",
                entry.shape.0,
                entry.dtype,
                end - begin
            )));
        }
        ranges.push((begin, end, name.as_str()));
        if let Some(kind) = kind {
            let shape = axes(name, &entry.shape.0)?;
            header.tensors.push(TensorInfo {
                name: name.clone(),
                kind,
                shape,
                file,
                offset: data_begin + begin,
                bytes: expected,
            });
        } else {
            header.buffers.push(name.clone());
        }
    }
    check_no_overlap("data", ranges)?;
    Ok(header)
}

/// What the header says about one tensor.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Dims,
    data_offsets: [u64; 2],
}

/// A shape, bounded before it is allocated.
#[derive(Debug)]
struct Dims(Vec<u64>);

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(DimsVisitor).map(Self)
    }
}

struct DimsVisitor;

impl<'de> Visitor<'de> for DimsVisitor {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MAX_DIMS} axes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Self::Value, A::Error> {
        let mut dims = Vec::new();
        while let Some(dim) = access.next_element()? {
            if dims.len() == MAX_DIMS {
                return Err(A::Error::custom(format_args!("expected a shape of at most {MAX_DIMS} axes, found more")));
            }
            dims.push(dim);
        }
        Ok(dims)
    }
}

enum Dtype {
    Weights(SourceKind),
    /// Not weights; bytes of an element.
    Buffer(u64),
    Unsupported,
}

fn dtype(name: &str) -> Dtype {
    match name {
        "F32" => Dtype::Weights(SourceKind::F32),
        "F16" => Dtype::Weights(SourceKind::F16),
        "BF16" => Dtype::Weights(SourceKind::Bf16),
        "F8_E4M3" => Dtype::Weights(SourceKind::F8E4M3),
        "I64" => Dtype::Buffer(8),
        "BOOL" => Dtype::Buffer(1),
        _ => Dtype::Unsupported,
    }
}
