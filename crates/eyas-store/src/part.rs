//! A part of a file that is fetched ahead of its reader.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use eyas_core::{ErrorKind, Result};

use crate::{
    FileRecord, FileSystem, Meter,
    chunk_file::{ChunkFile, part_names},
    connection::Connection,
    digest::RunningDigest,
    shelf::Shelf,
};

/// A part has so many chunks of its file.
const PART_CHUNKS: u64 = 8;
/// Its own chunks are so much smaller, since what has come of one is lost with its tab.
const SPLIT: u32 = 8;

fn part_bytes(record: &FileRecord) -> u64 {
    PART_CHUNKS * u64::from(record.chunk_bytes.max(1))
}

/// Where the part that has the byte `at` ends, in a file cut like `record`'s.
pub(crate) fn part_end(record: &FileRecord, at: u64) -> u64 {
    let bytes = part_bytes(record);
    (at / bytes + 1).saturating_mul(bytes).min(record.size)
}

/// Where the next part begins that a reader at `at` does not come to at once.
pub(crate) fn next_start(record: &FileRecord, at: u64) -> u64 {
    part_end(record, at.saturating_add(part_bytes(record) / 2))
}

/// The bytes `[from, until)` of a file, as far as they have come, in files of their own. It is read while it is being fetched.
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) names: [String; 2],
    /// Whether it is from an earlier visit.
    pub(crate) is_old: bool,
    /// Whether no more of it is to be fetched.
    pub(crate) is_stopped: Cell<bool>,
    files: Rc<dyn FileSystem>,
    chunks: RefCell<ChunkFile>,
    /// What came behind the chunks that are stored.
    window: RefCell<Vec<u8>>,
}

/// Why no more of a part comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its connection broke, as any may.
    Broke,
    /// The server does not give it, or the device does not take it.
    Refused,
}

impl Part {
    /// Makes a place for the part from the byte `from` on.
    pub(crate) async fn begin(shelf: &Shelf, record: &FileRecord, from: u64) -> Result<Self> {
        let (until, names) = (part_end(record, from), part_names(record.slot, from));
        let chunks = ChunkFile::create(&shelf.files, &shelf.folder, &names, until - from, record.chunk_bytes / SPLIT).await?;
        Ok(Self::new(shelf, (from, until), names, chunks, false))
    }

    /// What an earlier visit stored from `from` on.
    pub(crate) async fn resume(shelf: &Shelf, record: &FileRecord, from: u64) -> Result<Self> {
        let (until, names) = (part_end(record, from), part_names(record.slot, from));
        let chunk_bytes = record.chunk_bytes / SPLIT;
        let mut chunks = ChunkFile::open(&shelf.files, &shelf.folder, &names, until - from, chunk_bytes).await?;
        chunks.resume(&mut RunningDigest::default(), false).await?;
        Ok(Self::new(shelf, (from, until), names, chunks, true))
    }

    fn new(shelf: &Shelf, (from, until): (u64, u64), names: [String; 2], chunks: ChunkFile, is_old: bool) -> Self {
        let (files, chunks) = (shelf.files.clone(), RefCell::new(chunks));
        Self { from, until, names, is_old, is_stopped: Cell::default(), files, chunks, window: RefCell::default() }
    }

    /// Fetches it until all is here, it is stopped, or that fails. Returns what goes on behind the last byte that came.
    pub(crate) async fn fetch(&self, mut connection: Connection, meter: &Meter) -> Result<Connection, Failure> {
        while !self.is_stopped.get() && self.end() < self.until {
            let mut piece = match connection.next().await {
                Ok(piece) => piece,
                Err(error) if error.kind() == ErrorKind::DownloadFailed && !connection.is_refused() => {
                    return Err(Failure::Broke);
                }
                Err(_) => return Err(Failure::Refused),
            };
            meter.fetched(piece.len());
            piece.truncate((self.until - self.end()) as usize);
            self.window.borrow_mut().extend_from_slice(&piece);
            self.store().await.map_err(|_| Failure::Refused)?;
        }
        Ok(connection)
    }

    /// Stores the chunks that are whole.
    async fn store(&self) -> Result<()> {
        while let Some(chunk) = self.next_chunk() {
            let digest = self.files.digest(&chunk).await?;
            self.chunks.borrow_mut().append_hashed(&chunk, digest)?;
            self.window.borrow_mut().drain(..chunk.len());
        }
        Ok(())
    }

    fn next_chunk(&self) -> Option<Vec<u8>> {
        let chunks = self.chunks.borrow();
        let bytes = (chunks.next_end() - chunks.stored_bytes()) as usize;
        self.window.borrow().get(..bytes).filter(|chunk| !chunk.is_empty()).map(<[u8]>::to_vec)
    }

    /// Where the bytes that are here end.
    pub(crate) fn end(&self) -> u64 {
        self.from + self.chunks.borrow().stored_bytes() + self.window.borrow().len() as u64
    }

    /// Bytes that are here behind `at`.
    pub(crate) fn bytes_behind(&self, at: u64) -> u64 {
        self.end().saturating_sub(at.max(self.from))
    }

    /// Some bytes from `at` on; none where no more have come, what is stored is damaged, or the device does not give it: it can be fetched.
    pub(crate) async fn read(&self, at: u64) -> Result<Option<Vec<u8>>> {
        match self.stored(at).await {
            Err(error) if error.kind() != ErrorKind::Aborted => Ok(None),
            read => read,
        }
    }

    async fn stored(&self, at: u64) -> Result<Option<Vec<u8>>> {
        let Some(offset) = at.checked_sub(self.from) else { return Ok(None) };
        let (start, unchecked) = {
            let chunks = self.chunks.borrow();
            let stored_bytes = chunks.stored_bytes();
            if offset >= stored_bytes {
                let window = self.window.borrow();
                let rest = window.get((offset - stored_bytes) as usize..).filter(|rest| !rest.is_empty());
                return Ok(rest.map(<[u8]>::to_vec));
            }
            let chunk = chunks.chunk_of(offset);
            (chunks.bounds(chunk).0, chunks.begin_read(chunk)?)
        };
        let Some(unchecked) = unchecked else { return Ok(None) };
        let (chunk, mut bytes, digest) = unchecked.hash().await?;
        let is_true = self.chunks.borrow().has(chunk, digest);
        Ok(is_true.then(|| bytes.split_off((offset - start) as usize)))
    }
}
