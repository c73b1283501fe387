//! The JSON files of a model's folder.

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{FileSet, describe_mistaken_file, read_all};
use serde_json::Value;

/// Larger than any tokenizer.json that is known (gemma's takes 33 MB).
const LIMIT_BYTES: u64 = 128 << 20;

/// Reads a file whole; `None` where there is none.
pub async fn read_file(files: &dyn FileSet, name: &str) -> Result<Option<Vec<u8>>> {
    match files.open(name).await? {
        Some(reader) => read_all(reader.as_ref(), LIMIT_BYTES).await.map(Some),
        None => Ok(None),
    }
}

/// Reads a JSON file; `None` where there is none, `bad-model` where it is no JSON.
pub async fn read_json(files: &dyn FileSet, name: &str) -> Result<Option<Value>> {
    read_file(files, name).await?.map(|bytes| parse(name, &bytes)).transpose()
}

/// The same, where the model can't do without: `model-not-found`, naming the file.
pub async fn require_json(files: &dyn FileSet, name: &str) -> Result<Value> {
    read_json(files, name).await?.ok_or_else(|| missing(files, name))
}

/// Says that a file is missing.
pub fn missing(files: &dyn FileSet, name: &str) -> Error {
    let detail =
        format!("{}: expected the file {name}, found none; check the model's name, and that it is complete", files.label());
    Error::new(ErrorKind::ModelNotFound, detail)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| not_json(name, bytes, &error.to_string()))
}

/// Says what a file that is no JSON is instead.
pub fn not_json(name: &str, bytes: &[u8], error: &str) -> Error {
    let found = if bytes.trim_ascii_start().starts_with(b"{") {
        format!("found {} bytes that are none ({error}); download it again", bytes.len())
    } else {
        describe_mistaken_file(bytes)
    };
    Error::bad_model(format!("{name}: expected JSON, {found}"))
}

#[cfg(test)]
mod tests {
    use eyas_weights::MemoryFiles;
    use pollster::block_on;

    use super::*;

    #[test]
    fn a_page_a_torn_file_and_a_missing_one_are_told_apart() {
        let files = MemoryFiles::new(vec![("page".into(), b"\n<html>".to_vec()), ("torn".into(), b"{\"a\":".to_vec())]);
        let page = block_on(read_json(&files, "page")).unwrap_err();
        assert!(page.code() == "bad-model" && page.detail().contains("HTML page"), "{page}");
        let torn = block_on(read_json(&files, "torn")).unwrap_err();
        assert!(torn.code() == "bad-model" && torn.detail().contains("5 bytes"), "{torn}");
        assert!(block_on(read_json(&files, "absent")).unwrap().is_none());
        let absent = block_on(require_json(&files, "absent")).unwrap_err();
        assert!(absent.code() == "model-not-found" && absent.detail().contains("absent"), "{absent}");
    }
}
