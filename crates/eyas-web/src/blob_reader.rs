//! A dropped or selected file, read slice by slice.

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{LocalFuture, RangeReader};
use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::js_error::describe;

/// Random access to a `Blob`; the browser keeps its bytes.
pub(crate) struct BlobReader {
    name: String,
    blob: Blob,
}

impl BlobReader {
    pub(crate) fn new(name: String, blob: Blob) -> Self {
        Self { name, blob }
    }
}

impl RangeReader for BlobReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.blob.size() as u64
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let end = offset.checked_add(length as u64).filter(|end| *end <= self.size()).ok_or_else(|| {
                Error::bad_model(format!(
                    "{}: expected {length} bytes at offset {offset}, but the file has {} bytes; it may be truncated",
                    self.name,
                    self.size()
                ))
            })?;
            let failed = |error| {
                Error::new(ErrorKind::ModelNotFound, format!("{}: reading the file failed: {}", self.name, describe(&error)))
            };
            let slice = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(failed)?;
            let buffer = JsFuture::from(slice.array_buffer()).await.map_err(failed)?;
            Ok(Uint8Array::new(&buffer).to_vec())
        })
    }
}
