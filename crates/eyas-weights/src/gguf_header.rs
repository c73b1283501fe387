//! The header of a GGUF file: metadata, then the place of every tensor.
//!
//! Reference: the specification in the ggml repository, docs/gguf.md. Versions 2 and 3, little-endian.

use std::collections::BTreeMap;

use eyas_core::{Error, Result};

use crate::{
    GgufMetadata, RangeReader, SourceKind, TensorInfo, ggml_type,
    gguf_value_parser::ValueParser,
    header_bytes::{HeaderBytes, Stop},
    mistaken_file,
    range_reader::read_exactly,
    tensor_layout::{MAX_DIMS, MAX_NAME_BYTES, MAX_TENSORS, axes, check_no_overlap, kind_bytes},
};

/// Bytes of a header at most; the tokenizer of 262,144 tokens and its merges take about 17 million.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// What is read at once; each further read has four times as much, so that parsing again from the start stays cheap.
const FIRST_READ_BYTES: u64 = 1 << 20;
/// Metadata values at most; files have some dozens.
const MAX_VALUES: u64 = 65_536;
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 65_536;

/// What a header says.
#[derive(Debug)]
pub(crate) struct GgufHeader {
    pub(crate) metadata: GgufMetadata,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// Reads and checks the header of a file, which becomes number `file` of its checkpoint.
pub(crate) async fn read_header(reader: &dyn RangeReader, file: usize) -> Result<GgufHeader> {
    let size = reader.size();
    let mut bytes = Vec::new();
    let mut wanted = FIRST_READ_BYTES.min(size);
    loop {
        let known = bytes.len() as u64;
        // Lossless: bounded by the header's limit.
        let more = read_exactly(reader, known, wanted.saturating_sub(known) as usize).await?;
        if bytes.is_empty() {
            bytes = more;
        } else {
            bytes.reserve_exact(more.len());
            bytes.extend(more);
        }
        match parse(&bytes, size) {
            Ok(mut header) => {
                header.tensors.iter_mut().for_each(|tensor| tensor.file = file);
                return Ok(header);
            }
            Err(Stop::Failed(error)) => return Err(error.context(reader.name())),
            Err(Stop::More(needed)) if needed > MAX_HEADER_BYTES => {
                return Err(Error::bad_model(format!(
                    "{}: expected a GGUF header of at most {MAX_HEADER_BYTES} bytes, found one of at least {needed}; the file is damaged",
                    reader.name()
                )));
            }
            Err(Stop::More(needed)) => wanted = needed.max(wanted.saturating_mul(4)).min(MAX_HEADER_BYTES).min(size),
        }
    }
}

/// Parses the first `bytes` of a file of `size` bytes.
fn parse(bytes: &[u8], size: u64) -> std::result::Result<GgufHeader, Stop> {
    let mut header = HeaderBytes::new(bytes, size);
    if !bytes.starts_with(b"GGUF") {
        let detail = format!("expected a GGUF file, which begins with \"GGUF\": {}", mistaken_file::describe(bytes));
        return Err(Stop::Failed(Error::bad_model(detail)));
    }
    header.take(4, "the magic number")?;
    let version = header.u32("the version")?;
    check_version(version)?;
    let tensor_count = header.u64("the number of tensors")?;
    let value_count = header.u64("the number of values")?;
    check_count("tensors", tensor_count, MAX_TENSORS as u64)?;
    check_count("metadata values", value_count, MAX_VALUES)?;
    header.check_left(tensor_count, 24, "tensors")?;
    header.check_left(value_count, 13, "metadata values")?;

    let metadata = parse_metadata(&mut header, version, value_count)?;
    let alignment = alignment(&metadata)?;

    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        tensors.push(parse_tensor(&mut header)?);
    }
    let data_begin = header.position().next_multiple_of(alignment);
    for tensor in &mut tensors {
        place(tensor, data_begin, alignment, size)?;
    }
    let ranges = tensors.iter().map(|tensor| (tensor.offset, tensor.offset + tensor.bytes, tensor.name.as_str()));
    check_no_overlap("data", ranges.collect())?;
    Ok(GgufHeader { metadata, tensors })
}

fn parse_metadata(header: &mut HeaderBytes<'_>, version: u32, count: u64) -> std::result::Result<GgufMetadata, Stop> {
    let mut values = BTreeMap::new();
    let mut parser = ValueParser::default();
    for _ in 0..count {
        let key = header.string(MAX_NAME_BYTES as u64, "a metadata key")?;
        if values.contains_key(key) {
            let detail = format!("expected every metadata key once, found {key:?} twice; the file is damaged");
            return Err(Stop::Failed(Error::bad_model(detail)));
        }
        let value = parser.value(header).map_err(|stop| stop.context(format_args!("GGUF metadata {key:?}")))?;
        values.insert(key.to_owned(), value);
    }
    Ok(GgufMetadata::new(version, values))
}

/// Reads one tensor; its offset is still relative to the data.
fn parse_tensor(header: &mut HeaderBytes<'_>) -> std::result::Result<TensorInfo, Stop> {
    let name = header.string(MAX_NAME_BYTES as u64, "a tensor's name")?;
    let axis_count = header.u32("a tensor's number of axes")?;
    if axis_count as usize > MAX_DIMS {
        let detail = format!("tensor {name:?}: expected at most {MAX_DIMS} axes, found {axis_count}; the file is damaged");
        return Err(Stop::Failed(Error::bad_model(detail)));
    }
    let mut shape = Vec::new();
    for _ in 0..axis_count {
        shape.push(header.u64("a tensor's axis")?);
    }
    // The file has the innermost axis first.
    shape.reverse();
    let kind = source_kind(name, header.u32("a tensor's type")?)?;
    let offset = header.u64("a tensor's offset")?;
    let bytes = kind_bytes(name, &shape, kind)?;
    Ok(TensorInfo { name: name.to_owned(), kind, shape: axes(name, &shape)?, file: 0, offset, bytes })
}

fn source_kind(name: &str, type_id: u32) -> Result<SourceKind> {
    ggml_type::source_kind(type_id).ok_or_else(|| {
        Error::unsupported(format!(
            "tensor {name:?}: expected the type F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL or Q2_K to Q6_K, found {}; use a \
             version of the model in which every tensor has one of these, such as its Q4_K_M",
            ggml_type::name(type_id)
        ))
    })
}

/// Makes a tensor's offset absolute.
fn place(tensor: &mut TensorInfo, data_begin: u64, alignment: u64, size: u64) -> Result<()> {
    if !tensor.offset.is_multiple_of(alignment) {
        return Err(Error::bad_model(format!(
            "tensor {:?}: expected an offset that is a multiple of {alignment}, found {}; the file is damaged",
            tensor.name, tensor.offset
        )));
    }
    let begin = data_begin.checked_add(tensor.offset);
    let end = begin.and_then(|begin| begin.checked_add(tensor.bytes));
    // An empty tensor at the end of a file without padding is still fine.
    let (Some(begin), Some(_)) = (begin, end.filter(|&end| end <= size || tensor.bytes == 0)) else {
        return Err(Error::bad_model(format!(
            "tensor {:?}: expected {} bytes at {} of the data, which begins at byte {data_begin}, found a file of {size} bytes; it is \
             truncated, download it again",
            tensor.name, tensor.bytes, tensor.offset
        )));
    };
    tensor.offset = begin;
    Ok(())
}

fn check_version(version: u32) -> Result<()> {
    match version {
        2 | 3 => Ok(()),
        1 => Err(Error::unsupported("expected GGUF version 2 or 3, found 1; convert the model again")),
        _ if (1..=3).contains(&version.swap_bytes()) => {
            Err(Error::unsupported("expected a little-endian GGUF file, found a big-endian one; convert the model again"))
        }
        _ => Err(Error::unsupported(format!("expected GGUF version 2 or 3, found {version}; convert the model again"))),
    }
}

fn check_count(what: &str, count: u64, limit: u64) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::bad_model(format!("expected at most {limit} {what}, found {count}; the file is damaged")))
}

fn alignment(metadata: &GgufMetadata) -> Result<u64> {
    let alignment = metadata.get_u64("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment == 0 || !alignment.is_multiple_of(8) || alignment > MAX_ALIGNMENT {
        return Err(Error::bad_model(format!(
            "GGUF metadata \"general.alignment\": expected a multiple of 8 up to {MAX_ALIGNMENT}, found {alignment}; convert the model again"
        )));
    }
    Ok(alignment)
}
