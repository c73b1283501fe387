//! Random access to the bytes of one file.

use std::{
    fs::File,
    io::{ErrorKind as IoKind, Read, Seek, SeekFrom},
    path::Path,
    rc::Rc,
};

use eyas_core::{Error, ErrorKind, LocalFuture, Result, format_bytes};

/// Random access to one file; never holds it whole unless it is in memory already.
pub trait RangeReader {
    /// The file's name, for messages.
    fn name(&self) -> &str;

    /// The file's size in bytes.
    fn size(&self) -> u64;

    /// Reads exactly `length` bytes from `offset`; fails with `bad-model` where the file ends before that.
    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>>;
}

/// A file that is in memory.
#[derive(Debug, Clone)]
pub struct MemoryReader {
    name: String,
    bytes: Rc<Vec<u8>>,
}

impl MemoryReader {
    /// A file called `name` with these bytes.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: Rc::new(bytes.into()) }
    }
}

impl RangeReader for MemoryReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            check_range(self, offset, length)?;
            // Lossless: the check bounds both by the length of a vector.
            let start = offset as usize;
            Ok(self.bytes[start..start + length].to_vec())
        })
    }
}

/// A file on disk.
#[derive(Debug)]
pub struct FileReader {
    name: String,
    size: u64,
    file: File,
}

impl FileReader {
    /// Opens the file; fails with `model-not-found` where that is not possible.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error: std::io::Error| {
            let detail = format!("{} can't be opened: {error}; check the path and its permissions", path.display());
            Error::new(ErrorKind::ModelNotFound, detail).with_source(error)
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let detail = format!("{}: expected a file, found a folder or a device; give the path of a file", path.display());
            return Err(Error::new(ErrorKind::ModelNotFound, detail));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, size: metadata.len(), file })
    }
}

impl RangeReader for FileReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            check_range(self, offset, length)?;
            let failed = |error: std::io::Error| {
                // A file that ends before the size it had when it was opened was changed underneath us.
                let kind = if error.kind() == IoKind::UnexpectedEof { ErrorKind::Integrity } else { ErrorKind::BadModel };
                let detail = format!("{}: reading {length} bytes at {offset} failed: {error}; open the model again", self.name);
                Error::new(kind, detail).with_source(error)
            };
            let mut file = &self.file;
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).map_err(failed)?;
            Ok(bytes)
        })
    }
}

/// Reads a whole file; fails with `bad-model` where it is larger than `limit` bytes.
pub async fn read_all(reader: &dyn RangeReader, limit: u64) -> Result<Vec<u8>> {
    let size = reader.size();
    let too_large = || {
        Error::bad_model(format!(
            "{}: expected at most {limit} bytes ({}), found {size} ({}); check that this is the file it should be",
            reader.name(),
            format_bytes(limit),
            format_bytes(size)
        ))
    };
    if size > limit {
        return Err(too_large());
    }
    read_exactly(reader, 0, usize::try_from(size).map_err(|_| too_large())?).await
}

/// Reads a range and distrusts the reader: an answer of another length is an `integrity` error.
pub(crate) async fn read_exactly(reader: &dyn RangeReader, offset: u64, length: usize) -> Result<Vec<u8>> {
    let bytes = reader.read(offset, length).await?;
    if bytes.len() == length {
        return Ok(bytes);
    }
    let detail = format!(
        "{}: reading at byte {offset}: expected {length} bytes, found {}; load the model again",
        reader.name(),
        bytes.len()
    );
    Err(Error::new(ErrorKind::Integrity, detail))
}

fn check_range(reader: &dyn RangeReader, offset: u64, length: usize) -> Result<()> {
    let end = offset.checked_add(length as u64);
    if end.is_some_and(|end| end <= reader.size()) {
        return Ok(());
    }
    Err(Error::bad_model(format!(
        "{}: expected {length} bytes at byte {offset}, found a file of {} bytes; download it again, it is truncated",
        reader.name(),
        reader.size()
    )))
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;

    #[test]
    fn a_range_beyond_the_end_is_an_error_with_all_numbers() {
        let reader = MemoryReader::new("m", vec![1, 2, 3]);
        assert_eq!(block_on(reader.read(1, 2)).unwrap(), [2, 3]);
        assert!(block_on(reader.read(3, 0)).unwrap().is_empty());
        let error = block_on(reader.read(2, 2)).unwrap_err();
        assert_eq!(error.detail(), "m: expected 2 bytes at byte 2, found a file of 3 bytes; download it again, it is truncated");
        assert_eq!(block_on(reader.read(u64::MAX, 2)).unwrap_err().code(), "bad-model");
    }

    #[test]
    fn read_all_names_limit_and_size() {
        let reader = MemoryReader::new("m", vec![0; 10]);
        assert_eq!(block_on(read_all(&reader, 10)).unwrap().len(), 10);
        let error = block_on(read_all(&reader, 9)).unwrap_err();
        assert_eq!(error.code(), "bad-model");
        assert!(error.detail().contains("at most 9 bytes") && error.detail().contains("found 10"), "{error}");
    }

    #[test]
    fn a_file_on_disk_reads_like_memory() {
        let path = std::env::temp_dir().join(format!("eyas-weights-range-{}", std::process::id()));
        std::fs::write(&path, [5, 6, 7]).unwrap();
        let reader = FileReader::open(&path).unwrap();
        assert_eq!(reader.size(), 3);
        assert_eq!(block_on(reader.read(1, 2)).unwrap(), [6, 7]);
        assert_eq!(block_on(reader.read(0, 1)).unwrap(), [5]);
        assert_eq!(block_on(reader.read(1, 3)).unwrap_err().code(), "bad-model");
        std::fs::write(&path, [5]).unwrap();
        assert_eq!(block_on(reader.read(1, 2)).unwrap_err().code(), "integrity");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(FileReader::open(&path).unwrap_err().code(), "model-not-found");
        assert_eq!(FileReader::open(std::env::temp_dir()).unwrap_err().code(), "model-not-found");
    }

    #[test]
    fn a_reader_that_answers_short_is_not_trusted() {
        struct Short;
        impl RangeReader for Short {
            fn name(&self) -> &'static str {
                "short"
            }
            fn size(&self) -> u64 {
                4
            }
            fn read(&self, _: u64, _: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
                Box::pin(async { Ok(vec![0; 3]) })
            }
        }
        assert_eq!(block_on(read_all(&Short, 4)).unwrap_err().code(), "integrity");
    }
}
