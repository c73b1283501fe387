//! A stored model as one file, to be carried to another device.
//!
//! ```text
//! eyas-model 1 HEADER_BYTES SHA256_OF_THE_HEADER\n
//! {"id":"https://…","files":[{"name":"config.json","url":"https://…","bytes":321,"sha256":"…"}, …],"absent":[…]}
//! the files' bytes, one after another in that order
//! ```

use std::{collections::VecDeque, rc::Rc};

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::{RangeReader, check_file_name};
use serde::{Deserialize, Serialize};

use crate::{
    Digest, FileRecord, ModelRecord, Store, Validator, Version, Which,
    chunk_file::{ChunkFile, slot_names},
    digest::RunningDigest,
    record_book::{read_record, remove_model},
    shelf::Shelf,
};

const MAGIC: &str = "eyas-model 1 ";
/// The first line is no longer than this.
const LINE_BYTES: u64 = 128;
/// A header of this length would list some ten thousand files.
const MAX_HEADER_BYTES: u64 = 4 << 20;
const MAX_ID_BYTES: usize = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: String,
    files: Vec<ArchivedFile>,
    #[serde(default)]
    absent: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchivedFile {
    name: String,
    url: String,
    bytes: u64,
    sha256: Digest,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// What the model is called: its address.
    pub id: String,
    /// A name for what its files hold.
    pub version: String,
}

/// A model on its way out of the store. While it lives, nothing else works on that model.
pub struct ModelExport {
    shelf: Shelf,
    header: Option<Vec<u8>>,
    files: VecDeque<FileRecord>,
    /// The file at hand, its next chunk and how many it has.
    open: Option<(String, ChunkFile, u64, u64)>,
    total_bytes: u64,
}

impl ModelExport {
    /// Bytes of the whole archive.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The next bytes; none at the end. Every chunk is checked as it is read: a damaged one is `integrity`.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(header) = self.header.take() {
            return Ok(Some(header));
        }
        loop {
            if let Some((name, chunks, chunk, count)) = &mut self.open {
                if chunk < count {
                    let bytes = chunks.read(*chunk).await?;
                    *chunk += 1;
                    let damaged = || {
                        let detail = format!(
                            "{name}: the stored file is damaged; load the model with a network, which mends it, and export it again"
                        );
                        Error::new(ErrorKind::Integrity, detail)
                    };
                    return bytes.ok_or_else(damaged).map(Some);
                }
                self.open = None;
            }
            let Some(file) = self.files.pop_front() else { return Ok(None) };
            let Shelf { files, folder, .. } = &self.shelf;
            let mut chunks = ChunkFile::open(files, folder, &slot_names(file.slot), file.size, file.chunk_bytes).await?;
            if let (Some(digest), Some(sums)) = (file.digest, file.sums) {
                chunks.unseal(digest, sums).await?;
            }
            self.open = Some((file.name, chunks, 0, file.size.div_ceil(u64::from(file.chunk_bytes))));
        }
    }
}

impl Store {
    /// Begins to write a complete model out as one file; `model-not-found` where it is not complete on this device.
    pub async fn export(&self, id: &str) -> Result<ModelExport> {
        let folder = Self::folder(id);
        let lock = self.lock(&folder).await?;
        let record = read_record(self.files(), &folder).await?.filter(|record| record.current.complete);
        let Some(record) = record else {
            return Err(Error::new(ErrorKind::ModelNotFound, format!("{id} is not complete on this device; load it first")));
        };
        let version = record.current.clone();
        let mut archived = Vec::new();
        for file in &version.files {
            let Some(sha256) = file.digest else { continue };
            archived.push(ArchivedFile { name: file.name.clone(), url: file.url.clone(), bytes: file.size, sha256 });
        }
        let header = Header { id: id.to_owned(), files: archived, absent: version.absent };
        let json =
            serde_json::to_string(&header).map_err(|error| Error::internal(format!("a header can't be written: {error}")))?;
        let header = format!("{MAGIC}{} {}\n{json}", json.len(), Digest::of(json.as_bytes())).into_bytes();
        let files: VecDeque<FileRecord> = version.files.into_iter().filter(|file| file.digest.is_some()).collect();
        let total_bytes = header.len() as u64 + files.iter().map(|file| file.size).sum::<u64>();
        let shelf = self.shelf(folder, Which::Current, record, vec![lock]);
        Ok(ModelExport { shelf, header: Some(header), files, open: None, total_bytes })
    }

    /// Takes a model that [`Store::export`] wrote into the store; `report` hears how many bytes are there. With `id`, it must be that model.
    ///
    /// Nothing of it counts before every file has the SHA-256 that the header says, and nothing of it stays where that fails. What servers said of the
    /// files' versions is not taken over, since an archive could say anything: an update compares bytes.
    ///
    /// # Errors
    ///
    /// `bad-input` where it is no such file, or one of another model, or the model is here in another version; `integrity` where a byte of it differs;
    /// `storage-full`.
    pub async fn import(
        &self,
        archive: &dyn RangeReader,
        id: Option<&str>,
        evictable: bool,
        report: &dyn Fn(u64),
    ) -> Result<Imported> {
        let (header, start) = read_header(archive).await?;
        if let Some(wanted) = id.filter(|wanted| *wanted != header.id) {
            return Err(Error::bad_input(format!("the file holds the model {}, expected {wanted}", header.id)));
        }
        let folder = Self::folder(&header.id);
        let update = self.lock(&Self::update_lock(&folder)).await?;
        let lock = self.lock(&folder).await?;
        let mut version = Version { files: Vec::new(), absent: header.absent.clone(), complete: true };
        if let Some(record) = read_record(self.files(), &folder).await?.filter(|record| record.current.complete) {
            return already_here(&record.current, &header);
        }
        remove_model(&self.shared_files(), &folder).await?; // what an interrupted load has left
        self.make_room(header.files.iter().map(|file| file.bytes).sum(), &folder).await?;
        let record = ModelRecord::new(&header.id, evictable, self.now_ms());
        let shelf = Rc::new(self.shelf(folder, Which::Current, record, vec![update, lock]));
        let taken = async {
            let mut at = start;
            for file in &header.files {
                version.files.push(self.take(&shelf, archive, file, at, report).await?);
                at += file.bytes;
            }
            let name = version.name().unwrap_or_default();
            shelf.record.borrow_mut().current = version;
            shelf.save().await?;
            Ok(Imported { id: header.id.clone(), version: name })
        };
        let taken: Result<Imported> = taken.await;
        if taken.is_err() {
            // Why it failed is what the caller wants to know.
            let _ = remove_model(&self.shared_files(), &shelf.folder).await;
        }
        taken
    }

    /// Copies a file out of an archive.
    async fn take(
        &self,
        shelf: &Rc<Shelf>,
        archive: &dyn RangeReader,
        file: &ArchivedFile,
        start: u64,
        report: &dyn Fn(u64),
    ) -> Result<FileRecord> {
        let (slot, chunk_bytes) = (shelf.take_slot(), self.chunk_bytes());
        let mut chunks = ChunkFile::create(&shelf.files, &shelf.folder, &slot_names(slot), file.bytes, chunk_bytes).await?;
        let mut running = RunningDigest::default();
        while chunks.stored_bytes() < file.bytes {
            let (from, end) = (chunks.stored_bytes(), chunks.next_end());
            let bytes = archive.read(start + from, usize::try_from(end - from).unwrap_or_default()).await?;
            running.update(&bytes);
            chunks.append(&bytes).await?;
            report(start + end);
        }
        let found = running.finish();
        if found != file.sha256 {
            let detail =
                format!("{}: expected the sha256 {}, found {found}; the file was damaged on its way", file.name, file.sha256);
            return Err(Error::new(ErrorKind::Integrity, detail));
        }
        Ok(FileRecord {
            name: file.name.clone(),
            url: file.url.clone(),
            slot,
            size: file.bytes,
            chunk_bytes,
            validator: Validator::default(),
            digest: Some(found),
            sums: Some(chunks.seal().await?),
        })
    }
}

/// The model is here already: as it is in the archive, or not.
fn already_here(current: &Version, header: &Header) -> Result<Imported> {
    let is_same = header.files.len() == current.files.len()
        && header.files.iter().all(|file| current.file(&file.name).is_some_and(|stored| stored.digest == Some(file.sha256)));
    match current.name() {
        Some(version) if is_same => Ok(Imported { id: header.id.clone(), version }),
        _ => Err(Error::bad_input(format!("{} is on this device in another version; remove it first, then import", header.id))),
    }
}

/// The header of an archive, and where the files begin.
async fn read_header(archive: &dyn RangeReader) -> Result<(Header, u64)> {
    let wrong = |what: &str| Error::bad_input(format!("this is no exported model: {what}"));
    let line = archive.read(0, usize::try_from(archive.size().min(LINE_BYTES)).unwrap_or_default()).await?;
    let end = line.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong("its first line is missing"))?;
    let line = std::str::from_utf8(&line[..end]).ok().and_then(|line| line.strip_prefix(MAGIC)?.split_once(' '));
    let parsed = line.and_then(|(length, digest)| Some((length.parse::<u64>().ok()?, Digest::parse(digest)?)));
    let (length, digest) = parsed.ok_or_else(|| wrong("it does not begin with \"eyas-model 1\", a length and a sha256"))?;
    let start = end as u64 + 1;
    if length > MAX_HEADER_BYTES || start + length > archive.size() {
        return Err(wrong("its header is too long, or the file ends early"));
    }
    let json = archive.read(start, usize::try_from(length).unwrap_or_default()).await?;
    if Digest::of(&json) != digest {
        return Err(Error::new(
            ErrorKind::Integrity,
            "the exported model's header was damaged on its way; expected another sha256",
        ));
    }
    let header: Header = serde_json::from_slice(&json).map_err(|error| wrong(&error.to_string()))?;
    let start = start + length;
    let mut end = start;
    for (number, file) in header.files.iter().enumerate() {
        check_file_name(&file.name)?;
        if header.files.iter().take(number).any(|other| other.name == file.name) {
            return Err(wrong(&format!("it has the file {:?} twice", file.name)));
        }
        end = end.checked_add(file.bytes).ok_or_else(|| wrong("its sizes are absurd"))?;
    }
    if header.files.is_empty() || header.id.is_empty() || header.id.len() > MAX_ID_BYTES {
        return Err(wrong("it has no files, or no address"));
    }
    if end != archive.size() {
        return Err(wrong(&format!("expected {end} bytes, found {}; it was cut off on its way", archive.size())));
    }
    Ok((header, start))
}
