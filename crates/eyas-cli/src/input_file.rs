//! Files that a person hands to a command.

use std::path::Path;

use eyas_core::{Error, Result};
use serde::de::DeserializeOwned;

/// Reads a JSON file; `bad-input` where it can't be read or is not what was expected.
pub fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T> {
    let failed = |reason: String| Error::bad_input(format!("{}: expected {expected}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let error = read_json::<Vec<u32>>(Path::new("no-such-file.json"), "a list").unwrap_err();
        assert_eq!(error.code(), "bad-input");
        assert!(error.detail().contains("no-such-file.json: expected a list"), "{error}");
    }
}
