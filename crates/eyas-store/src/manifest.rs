//! What a model's publisher says of it: its files with their hashes, what it needs, and what it answers.

use std::{fmt, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{LocalFuture, check_file_name};
use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a manifest is called beside the model's files.
pub const MANIFEST_NAME: &str = "eyas.manifest.json";
/// What its signature is called: 64 bytes of Ed25519 over the manifest's bytes, in base64.
pub const SIGNATURE_NAME: &str = "eyas.manifest.json.sig";

const FORMAT: u32 = 1;
/// A manifest of this length would list some ten thousand files.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 2 << 20;
/// A signature has 88 characters.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 1 << 10;
/// Above this, offsets are no longer exact in JavaScript.
const MAX_SIZE: u64 = 1 << 53;

/// A file that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the model.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: Digest,
}

/// A prompt, and the greedy tokens that every device puts behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedAnswer {
    /// Text that the tokenizer encodes with its special tokens around it.
    pub prompt: String,
    /// What the weights were quantised to; other weights may choose other tokens.
    pub quantize: String,
    /// The tokens.
    pub tokens: Vec<u32>,
}

/// `eyas.manifest.json`. Keys that are not known are passed over, so that a newer one can be read; `minimumVersion` says where that would be wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format's number, 1.
    pub format: u32,
    /// What the model is called.
    pub name: String,
    /// Its licence, as an SPDX expression or in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The first version of Eyas that runs it, e.g. `0.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<String>,
    /// All files of the model: one that is not listed does not belong to it.
    pub files: Vec<ManifestFile>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedAnswer>,
    /// A calibration as `eyas-cli calibrate` writes it, for `load({ calibration })`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<serde_json::Value>,
    /// Bytes that a load takes, as `eyas-cli pack` computed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
}

impl Manifest {
    /// A manifest that lists these files.
    pub fn new(name: &str, files: Vec<ManifestFile>) -> Self {
        let name = name.to_owned();
        Self {
            format: FORMAT,
            name,
            licence: None,
            minimum_version: None,
            files,
            expected: Vec::new(),
            calibration: None,
            plan: None,
        }
    }

    /// Reads a manifest; `bad-model` where it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::bad_model(format!("{MANIFEST_NAME}: {what}"));
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))?;
        if manifest.format != FORMAT {
            let detail = format!("{MANIFEST_NAME} has the format {}, expected {FORMAT}; update the package", manifest.format);
            return Err(Error::unsupported(detail));
        }
        for (number, file) in manifest.files.iter().enumerate() {
            check_file_name(&file.name)?;
            let is_twice = manifest.files.iter().take(number).any(|other| other.name == file.name);
            if is_twice || file.bytes > MAX_SIZE || [MANIFEST_NAME, SIGNATURE_NAME].contains(&file.name.as_str()) {
                return Err(wrong(&format!("the file {:?} is listed twice, too large, or the manifest's own", file.name)));
            }
        }
        Ok(manifest)
    }

    /// Fails with `unsupported-model` where the model needs a newer version than `ours`.
    pub fn check_version(&self, ours: &str) -> Result<()> {
        let Some(needed) = &self.minimum_version else { return Ok(()) };
        let parse = |text: &str| {
            let wrong = || Error::bad_model(format!("{MANIFEST_NAME}: minimumVersion must be like 1.2.3, found {text:?}"));
            version(text).ok_or_else(wrong)
        };
        if parse(needed)? > parse(ours)? {
            let detail =
                format!("{} needs version {needed} of Eyas or a later one, this is {ours}; update the package", self.name);
            return Err(Error::unsupported(detail));
        }
        Ok(())
    }

    /// A file by its name.
    pub fn file(&self, name: &str) -> Option<&ManifestFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// What the model answers where its weights are `quantize`d.
    pub fn expected(&self, quantize: &str) -> Option<&ExpectedAnswer> {
        self.expected.iter().find(|expected| expected.quantize == quantize && !expected.tokens.is_empty())
    }
}

/// The three numbers of a version; what stands behind a `-` or `+` does not count.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.split(['-', '+']).next()?.split('.').map(|number| number.parse().ok());
    let version = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(version)
}

/// Checks a manifest's signature; the shell's.
pub trait SignatureCheck {
    /// Whether `signature`, in base64, is the publisher's over `message`. Fails where this can't be told here.
    fn verify<'a>(&'a self, message: &'a [u8], signature: &'a str) -> LocalFuture<'a, Result<bool>>;
}

/// Which manifest an application wants.
#[derive(Clone, Default)]
pub struct ManifestWish {
    /// Where it is; absent where none is to be looked for.
    pub url: Option<String>,
    /// A name of a file that it must list, to be the manifest of this model and not of another one in the folder; absent where it is the folder's.
    pub lists: Option<String>,
    /// Version of Eyas.
    pub eyas_version: &'static str,
    /// Demands a signature.
    pub signature: Option<Rc<dyn SignatureCheck>>,
}

impl fmt::Debug for ManifestWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestWish")
            .field("url", &self.url)
            .field("is_signed", &self.signature.is_some())
            .finish_non_exhaustive()
    }
}

/// Refuses what does not carry the publisher's signature.
pub(crate) fn unsigned(what: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("the application demands a signed manifest, and {what}; nothing else was fetched"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &str, more: &str) -> Result<Manifest> {
        Manifest::parse(format!(r#"{{"format":1,"name":"m","files":[{files}]{more}}}"#).as_bytes())
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let needs = |needed: &str| manifest("", &format!(r#","minimumVersion":"{needed}""#)).unwrap();
        assert!(needs("0.9.12").check_version("0.10.0").is_ok());
        assert!(needs("1.0.0").check_version("1.0.0-beta.1").is_ok());
        assert_eq!(needs("0.10.0").check_version("0.9.12").unwrap_err().code(), "unsupported-model");
        for wrong in ["1", "1.0", "1.0.0.0", "1.x.0", ""] {
            assert_eq!(needs(wrong).check_version("1.0.0").unwrap_err().code(), "bad-model", "{wrong}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let sum = "0".repeat(64);
        let file = |name: &str| format!(r#"{{"name":"{name}","bytes":1,"sha256":"{sum}"}}"#);
        assert!(manifest(&file("a.bin"), r#","later":true"#).is_ok());
        for files in [
            format!("{},{}", file("a"), file("a")),
            file("../a"),
            file(MANIFEST_NAME),
            file("a").replace(":1,", ":9007199254740994,"),
        ] {
            assert!(manifest(&files, "").is_err(), "{files}");
        }
        assert_eq!(Manifest::parse(br#"{"format":2,"name":"m","files":[]}"#).unwrap_err().code(), "unsupported-model");
        assert_eq!(Manifest::parse(b"<html>").unwrap_err().code(), "bad-model");
    }
}
