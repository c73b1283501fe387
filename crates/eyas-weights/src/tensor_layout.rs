//! The checks that every tensor of every format passes: its size is a product that fits, and no two share bytes.

use eyas_core::{Error, Result};

use crate::{SourceKind, TensorInfo};

/// Tensors of a checkpoint at most; models that run in a browser have some hundreds.
pub(crate) const MAX_TENSORS: usize = 65_536;
/// Axes of a tensor at most.
pub(crate) const MAX_DIMS: usize = 8;
/// Bytes of a tensor's name at most.
pub(crate) const MAX_NAME_BYTES: usize = 65_536;

/// Rows, columns and bytes of a tensor with this shape (outermost axis first), with `block_len` elements in `block_bytes` bytes;
/// fails with `bad-model` where one does not fit into the range that kernels index (`u32`), or columns are no whole blocks.
pub(crate) fn tensor_bytes(name: &str, shape: &[u64], block_len: u64, block_bytes: u64) -> Result<u64> {
    let (cols, leading) = shape.split_last().map_or((1, &[][..]), |(cols, leading)| (*cols, leading));
    let fits = |value: u64| u32::try_from(value).is_ok();
    // Zeros are left out of the product, so that no axis beside a zero escapes the check.
    let rows = leading.iter().try_fold(1u64, |rows, &axis| rows.checked_mul(axis.max(1)));
    let row_bytes = cols.div_ceil(block_len).checked_mul(block_bytes);
    let (Some(rows), Some(row_bytes)) = (rows.filter(|&rows| fits(rows)), row_bytes.filter(|&bytes| fits(bytes))) else {
        return Err(Error::bad_model(format!(
            "tensor {name:?}: expected rows and bytes of a row below 4294967296, found the shape {shape:?}; the file is damaged"
        )));
    };
    if !cols.is_multiple_of(block_len) {
        return Err(Error::bad_model(format!(
            "tensor {name:?}: expected a last axis that is a multiple of {block_len}, as its format stores whole blocks, found the \
             shape {shape:?}; convert the model again"
        )));
    }
    if leading.contains(&0) { Ok(0) } else { Ok(rows * row_bytes) }
}

/// As [`tensor_bytes`], for a format that can be read.
pub(crate) fn kind_bytes(name: &str, shape: &[u64], kind: SourceKind) -> Result<u64> {
    tensor_bytes(name, shape, kind.block_len() as u64, kind.block_bytes() as u64)
}

/// The shape with axes of this platform's size; [`tensor_bytes`] has bounded them.
pub(crate) fn axes(name: &str, shape: &[u64]) -> Result<Vec<usize>> {
    let axes = shape.iter().map(|&axis| usize::try_from(axis));
    axes.collect::<std::result::Result<_, _>>().map_err(|error| {
        let detail = format!("tensor {name:?}: expected axes below {}, found the shape {shape:?}", usize::MAX);
        Error::bad_model(detail).with_source(error)
    })
}

/// Fails with `bad-model` where two of the ranges `(begin, end, name)` of one file share bytes.
pub(crate) fn check_no_overlap(file: &str, mut ranges: Vec<(u64, u64, &str)>) -> Result<()> {
    ranges.retain(|(begin, end, _)| begin < end);
    eyas_core::sort(&mut ranges);
    for pair in ranges.windows(2) {
        if let [(_, end, first), (begin, _, second)] = pair
            && begin < end
        {
            return Err(Error::bad_model(format!(
                "{file}: expected tensors that share no bytes, found {second:?} to begin at byte {begin}, before {first:?} ends at \
                 byte {end}; the file is damaged"
            )));
        }
    }
    Ok(())
}

/// Sorts tensors so that reading them in order is one sequential pass over each file.
pub(crate) fn sort_for_reading(tensors: &mut [TensorInfo]) {
    eyas_core::sort_by(tensors, |a, b| (a.file, a.offset, &a.name).cmp(&(b.file, b.offset, &b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_products() {
        assert_eq!(kind_bytes("t", &[2, 3], SourceKind::F32).unwrap(), 24);
        assert_eq!(kind_bytes("t", &[], SourceKind::F16).unwrap(), 2);
        assert_eq!(kind_bytes("t", &[2, 64], SourceKind::Q4_0).unwrap(), 72);
        assert_eq!(kind_bytes("t", &[2, 0], SourceKind::F32).unwrap(), 0);
        assert_eq!(kind_bytes("t", &[0, 9], SourceKind::F32).unwrap(), 0);
        for shape in
            [&[1 << 40, 1 << 40, 0][..], &[1 << 40, 0, 1 << 40, 1], &[1 << 32, 1], &[1, 1 << 30], &[u64::MAX], &[0, u64::MAX]]
        {
            let error = kind_bytes("t", shape, SourceKind::F32).unwrap_err();
            assert_eq!(error.code(), "bad-model", "{shape:?}");
        }
        assert!(kind_bytes("t", &[33], SourceKind::Q8_0).unwrap_err().detail().contains("multiple of 32"));
    }

    #[test]
    fn overlaps_are_refused_and_holes_are_not() {
        assert!(check_no_overlap("f", vec![(8, 12, "b"), (0, 4, "a"), (2, 2, "empty"), (12, 14, "c")]).is_ok());
        let error = check_no_overlap("f", vec![(3, 12, "b"), (0, 4, "a")]).unwrap_err();
        assert!(error.detail().contains(r#""b" to begin at byte 3, before "a" ends at byte 4"#), "{error}");
    }
}
