//! A part of a file that is fetched ahead of its reader.

use std::{cell::Cell, rc::Rc};

use eyas_core::Result;

use crate::{
    FileRecord, Meter,
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

/// The bytes `[from, until)` of a file, as far as they have come, in files of their own.
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) names: [String; 2],
    chunks: ChunkFile,
    /// What came behind the chunks that are stored.
    window: Vec<u8>,
    /// Absent where it broke, or the part is from an earlier visit.
    pub(crate) connection: Option<Connection>,
    pub(crate) has_failed: bool,
}

impl Part {
    /// Makes a place for what `connection` is to fetch.
    pub(crate) async fn begin(shelf: &Shelf, record: &FileRecord, connection: Connection) -> Result<Self> {
        let from = connection.position();
        let (until, names) = (part_end(record, from), part_names(record.slot, from));
        let chunks = ChunkFile::create(&shelf.files, &shelf.folder, &names, until - from, record.chunk_bytes / SPLIT).await?;
        Ok(Self { from, until, names, chunks, window: Vec::new(), connection: Some(connection), has_failed: false })
    }

    /// Fetches it until all is here, the connection or the device fails, or `stop` says so; `come` tells how many bytes are here.
    pub(crate) async fn fetch(&mut self, meter: &Meter, (stop, come): (Rc<Cell<bool>>, Rc<Cell<u64>>)) {
        if self.run(meter, &stop, &come).await.is_err() {
            (self.connection, self.has_failed) = (None, true);
        }
    }

    async fn run(&mut self, meter: &Meter, stop: &Cell<bool>, come: &Cell<u64>) -> Result<()> {
        while let Some(connection) = self.connection.as_mut().filter(|_| !stop.get() && self.from + come.get() < self.until) {
            let mut piece = connection.next().await?;
            meter.fetched(piece.len());
            piece.truncate((self.until - self.end()) as usize);
            self.window.extend_from_slice(&piece);
            come.set(self.end() - self.from);
            let mut chunk_bytes = self.chunks.next_end() - self.chunks.stored_bytes();
            while chunk_bytes > 0 && self.window.len() as u64 >= chunk_bytes {
                self.chunks.append(&self.window[..chunk_bytes as usize]).await?;
                self.window.drain(..chunk_bytes as usize);
                chunk_bytes = self.chunks.next_end() - self.chunks.stored_bytes();
            }
        }
        Ok(())
    }

    /// What an earlier visit stored from `from` on.
    pub(crate) async fn resume(shelf: &Shelf, record: &FileRecord, from: u64) -> Result<Self> {
        let (until, names) = (part_end(record, from), part_names(record.slot, from));
        let chunk_bytes = record.chunk_bytes / SPLIT;
        let mut chunks = ChunkFile::open(&shelf.files, &shelf.folder, &names, until - from, chunk_bytes).await?;
        chunks.resume(&mut RunningDigest::default(), false).await?;
        Ok(Self { from, until, names, chunks, window: Vec::new(), connection: None, has_failed: false })
    }

    /// Where the bytes that are here end.
    pub(crate) fn end(&self) -> u64 {
        self.from + self.chunks.stored_bytes() + self.window.len() as u64
    }

    /// Some bytes from `at` on; none where no more have come, or what is stored is damaged.
    pub(crate) async fn read(&self, at: u64) -> Result<Option<Vec<u8>>> {
        let Some(offset) = at.checked_sub(self.from) else { return Ok(None) };
        let stored_bytes = self.chunks.stored_bytes();
        if offset >= stored_bytes {
            let rest = self.window.get((offset - stored_bytes) as usize..).filter(|rest| !rest.is_empty());
            return Ok(rest.map(<[u8]>::to_vec));
        }
        let chunk = self.chunks.chunk_of(offset);
        let start = self.chunks.bounds(chunk).0;
        let bytes = self.chunks.read(chunk).await?;
        Ok(bytes.map(|mut bytes| bytes.split_off((offset - start) as usize)))
    }
}
