//! `model.safetensors.index.json`: which tensor is in which of a model's files.

use std::collections::{BTreeMap, BTreeSet};

use eyas_core::{Error, Result};
use serde::Deserialize;

use crate::{
    RangeReader, check_file_name, mistaken_file, range_reader::read_all, tensor_layout::MAX_TENSORS, unique_map::UniqueMap,
};

/// Bytes of an index at most: 512 for each possible tensor.
const MAX_INDEX_BYTES: u64 = 32 << 20;
/// Files of a checkpoint at most.
const MAX_SHARDS: usize = 1024;

/// The index of a checkpoint in several files.
#[derive(Debug)]
pub(crate) struct ShardIndex {
    /// The file of every tensor.
    pub(crate) file_of: BTreeMap<String, String>,
    /// The files, in the order of their names.
    pub(crate) files: Vec<String>,
}

#[derive(Deserialize)]
struct IndexJson {
    weight_map: UniqueMap<String, MAX_TENSORS>,
}

impl ShardIndex {
    /// Reads and checks an index.
    pub(crate) async fn read(reader: &dyn RangeReader) -> Result<Self> {
        let bytes = read_all(reader, MAX_INDEX_BYTES).await?;
        Self::parse(&bytes).map_err(|error| error.context(reader.name()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let index: IndexJson = serde_json::from_slice(bytes).map_err(|error| {
            let found =
                if bytes.trim_ascii_start().starts_with(b"{") { error.to_string() } else { mistaken_file::describe(bytes) };
            let detail = format!("expected a JSON object with a \"weight_map\" from tensors to files: {found}");
            Error::bad_model(detail).with_source(error)
        })?;
        let file_of = index.weight_map.0;
        let mut files = BTreeSet::<&String>::new();
        files.extend(file_of.values());
        if files.is_empty() || files.len() > MAX_SHARDS {
            return Err(Error::bad_model(format!(
                "expected a \"weight_map\" with 1 to {MAX_SHARDS} files, found {}; download the index again",
                files.len()
            )));
        }
        for file in &files {
            check_file_name(file)?;
        }
        let files = files.into_iter().cloned().collect();
        Ok(Self { file_of, files })
    }
}

#[cfg(test)]
mod tests {
    use super::ShardIndex;

    #[test]
    fn files_are_listed_once_in_order() {
        let index =
            ShardIndex::parse(br#"{"metadata":{},"weight_map":{"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"}}"#);
        let index = index.unwrap();
        assert_eq!(index.files, ["1.safetensors", "2.safetensors"]);
        assert_eq!(index.file_of["c"], "2.safetensors");
    }

    #[test]
    fn hostile_indexes_are_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "empty file"),
            (b"<html>", "HTML"),
            (b"{}", "weight_map"),
            (br#"{"weight_map":{}}"#, "found 0"),
            (br#"{"weight_map":{"a":"../x"}}"#, "../x"),
            (br#"{"weight_map":{"a":"x","a":"y"}}"#, "twice"),
        ];
        for (bytes, part) in cases {
            let error = ShardIndex::parse(bytes).unwrap_err();
            assert_eq!(error.code(), "bad-model");
            assert!(error.detail().contains(part), "{error}");
        }
    }
}
