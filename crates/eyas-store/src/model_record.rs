//! What the store knows of a model: the small file whose writing makes a download count.

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::check_file_name;
use serde::{Deserialize, Serialize};

use crate::{Digest, Validator};

/// Bytes of the chunks in which new files are kept.
pub const CHUNK_BYTES: u32 = 1 << 20;

const FORMAT: u32 = 1;
/// A record of this length would list some ten thousand files.
const MAX_RECORD_BYTES: usize = 4 << 20;
/// Above this, offsets are no longer exact in JavaScript.
const MAX_SIZE: u64 = 1 << 53;

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRecord {
    /// Its name in the model.
    pub name: String,
    /// Where it is from.
    pub url: String,
    /// Number of the files in the folder that keep it.
    pub slot: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes of a chunk.
    pub chunk_bytes: u32,
    /// What the server said of its version.
    #[serde(default)]
    pub validator: Validator,
    /// Of the whole file; absent while it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Of the digests of its chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<Digest>,
}

/// The files of one version of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// Files that are there, at least in part.
    pub files: Vec<FileRecord>,
    /// Files that a load asked for and that the model does not have.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Whether a load found everything in it that it needs.
    #[serde(default)]
    pub complete: bool,
}

impl Version {
    /// A file by its name.
    pub fn file(&self, name: &str) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.name == name)
    }

    pub(crate) fn put(&mut self, file: FileRecord) {
        self.files.retain(|old| old.name != file.name);
        self.absent.retain(|name| *name != file.name);
        self.files.push(file);
    }

    /// A name for what the files hold: it differs where a byte differs. None while a file is incomplete.
    pub fn name(&self) -> Option<String> {
        let mut lines = Vec::with_capacity(self.files.len());
        for file in &self.files {
            lines.push(format!("{} {}\n", file.name, file.digest?));
        }
        eyas_core::sort(&mut lines);
        Some(Digest::of(lines.concat().as_bytes()).to_string().chars().take(12).collect())
    }
}

/// A model in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelRecord {
    format: u32,
    /// Counts the writings of this record.
    pub sequence: u64,
    /// What the application calls the model: its address.
    pub id: String,
    /// When it was last loaded, in milliseconds of the Unix epoch.
    pub last_used_ms: u64,
    /// Whether it may go when another model needs its room.
    pub evictable: bool,
    /// The first slot number that was never used.
    pub next_slot: u32,
    /// What loads use.
    pub current: Version,
    /// A newer version that was not tried yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Version>,
    /// The version before the current one, until that has proved itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// While the version before is kept: how often in a row the current one was loaded, or asked for its first answer, and that came to no end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ModelRecord {
    pub(crate) fn new(id: &str, evictable: bool, now_ms: u64) -> Self {
        Self {
            format: FORMAT,
            sequence: 0,
            id: id.to_owned(),
            last_used_ms: now_ms,
            evictable,
            next_slot: 0,
            current: Version::default(),
            candidate: None,
            previous: None,
            tries: 0,
        }
    }

    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        [Some(&self.current), self.candidate.as_ref(), self.previous.as_ref()].into_iter().flatten()
    }

    /// Whether any version keeps a file in `slot`.
    pub(crate) fn uses(&self, slot: u32) -> bool {
        self.versions().any(|version| version.files.iter().any(|file| file.slot == slot))
    }

    /// Whether the file in `slot` is not complete.
    pub(crate) fn is_begun(&self, slot: u32) -> bool {
        self.versions().any(|version| version.files.iter().any(|file| file.slot == slot && file.digest.is_none()))
    }

    /// The record as it is stored: a line of JSON and a line with its sha256.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_string(self).map_err(|error| Error::internal(format!("a record can't be written: {error}")))?;
        let digest = Digest::of(json.as_bytes());
        Ok(format!("{json}\n{digest}\n").into_bytes())
    }

    /// Reads a stored record; `integrity` where a byte of it is not what was written, or it makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::new(ErrorKind::Integrity, format!("a record of the model store is damaged: {what}"));
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(damaged("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
        let (json, digest) =
            text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')).ok_or_else(|| damaged("it ends early"))?;
        if Digest::parse(digest) != Some(Digest::of(json.as_bytes())) {
            return Err(damaged("its sha256 differs"));
        }
        let record: Self = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        record.check().map_err(|what| damaged(&what))?;
        Ok(record)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("expected the format {FORMAT}, found {}", self.format));
        }
        for version in self.versions() {
            for (number, file) in version.files.iter().enumerate() {
                check_file_name(&file.name).map_err(|error| error.detail().to_owned())?;
                let is_twice = version.files.iter().take(number).any(|other| other.name == file.name);
                let is_wrong = file.slot >= self.next_slot || file.size > MAX_SIZE || file.chunk_bytes == 0;
                if is_twice || is_wrong || file.digest.is_some() != file.sums.is_some() {
                    return Err(format!("the file {:?} contradicts itself", file.name));
                }
            }
        }
        Ok(())
    }
}
