//! One file of a model: read from the store where it is there, from the network into the store where it is not.

use std::{cell::RefCell, rc::Rc};

use eyas_core::{Error, ErrorKind, Result, within};
use eyas_weights::{LocalFuture, RangeReader};

use crate::{
    Digest, FileRecord, Get, Meter, Ports, Store,
    ahead::Origin,
    chunk_file::{ChunkFile, UncheckedChunk},
    connection::STALL_MS,
    download::Download,
    passing::Passing,
    shelf::Shelf,
};

/// What a file is read with.
pub(crate) struct Reading {
    pub(crate) record: FileRecord,
    /// Absent where nothing is kept.
    pub(crate) kept: Option<(Rc<Shelf>, ChunkFile)>,
    /// Absent where the whole file is in the store, or nothing is kept.
    pub(crate) download: Option<Download>,
    /// Absent where the file is kept.
    pub(crate) passing: Option<Passing>,
    /// The last chunk read, since reads seldom end with one.
    pub(crate) cached: Option<(u64, Vec<u8>)>,
    /// The chunk behind it, where chunks are read one after another: it is hashed while the one before is used.
    pub(crate) ahead: Option<UncheckedChunk>,
    /// What the application says that the whole file's digest is.
    pub(crate) expected: Option<Digest>,
}

impl Reading {
    /// A file that was opened, with the download that stands at its first missing byte, or at its beginning where nothing is kept.
    pub(crate) fn new(
        record: FileRecord,
        kept: Option<(Rc<Shelf>, ChunkFile)>,
        download: Option<Download>,
        expected: Option<Digest>,
    ) -> Self {
        let (download, passing) = match download {
            Some(download) if kept.is_none() => (None, Some(Passing::new(download.connection))),
            download => (download, None),
        };
        Self { record, kept, download, passing, cached: None, ahead: None, expected }
    }
}

/// Random access to a file of a model.
pub(crate) struct ModelFile {
    pub(crate) ports: Ports,
    pub(crate) meter: Rc<Meter>,
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Makes room where the device is full; absent where nothing is kept.
    pub(crate) store: Option<Store>,
    /// Taken out while a read is under way.
    pub(crate) reading: RefCell<Option<Reading>>,
}

impl RangeReader for ModelFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let end = offset.checked_add(length as u64).filter(|end| *end <= self.size).ok_or_else(|| {
                Error::bad_model(format!(
                    "{}: expected {length} bytes at offset {offset}, but the file has {} bytes; it may be truncated",
                    self.name, self.size
                ))
            })?;
            let mut reading = self.take()?;
            let bytes = self.read_with(&mut reading, offset, end).await;
            self.reading.replace(Some(reading));
            bytes
        })
    }
}

impl ModelFile {
    fn take(&self) -> Result<Reading> {
        let taken = self.reading.take();
        taken.ok_or_else(|| {
            Error::internal(format!("{}: two reads at once, or a read was given up; load the model again", self.name))
        })
    }

    /// Fetches and stores everything up to `end`.
    pub(crate) async fn advance(&self, end: u64) -> Result<()> {
        let mut reading = self.take()?;
        let advanced = if reading.download.is_some() { self.fill(&mut reading, end, end).await } else { Ok(()) };
        self.reading.replace(Some(reading));
        advanced
    }

    /// Fetches what is still missing, and writes down that the file is complete.
    pub(crate) async fn finish(&self) -> Result<()> {
        let mut reading = self.take()?;
        let finished = match (&mut reading.passing, reading.expected) {
            (Some(passing), Some(expected)) => passing.check(&self.name, expected, self.size, &self.meter).await,
            (None, _) if reading.download.is_some() => self.fill(&mut reading, self.size, self.size).await,
            _ => Ok(()),
        };
        self.reading.replace(Some(reading));
        finished
    }

    async fn read_with(&self, reading: &mut Reading, offset: u64, end: u64) -> Result<Vec<u8>> {
        if let Some(passing) = &mut reading.passing {
            return passing.read((offset, end), reading.expected.is_some(), &self.meter).await;
        }
        let mut bytes = Vec::with_capacity((end - offset) as usize);
        let mut at = offset;
        while at < end {
            if reading.download.as_ref().is_some_and(|download| at >= download.window_start) {
                self.fill(reading, end, at).await?;
                if let Some(download) = &reading.download {
                    let from = (at - download.window_start) as usize;
                    bytes.extend_from_slice(&download.window[from..from + (end - at) as usize]);
                    at = end;
                    continue;
                }
            }
            let Some(chunk) = reading.kept.as_ref().map(|(_, chunks)| chunks.chunk_of(at)) else {
                return Err(Error::internal(format!("{}: nothing is left to read from; load the model again", self.name)));
            };
            let (start, stored) = self.chunk(reading, chunk).await?;
            let part = &stored[(at - start) as usize..stored.len().min((end - start) as usize)];
            bytes.extend_from_slice(part);
            at += part.len() as u64;
        }
        if let (Some(download), Some((_, chunks))) = (&mut reading.download, &reading.kept) {
            download.trim(chunks, end);
        }
        Ok(bytes)
    }

    /// Fetches until `end` is there. Keeps the bytes from `keep` on in the window, and stores every chunk that is whole. When the file is complete
    /// and nothing of it is to be kept in the window, the download ends.
    async fn fill(&self, reading: &mut Reading, end: u64, keep: u64) -> Result<()> {
        let clock = self.ports.clock.as_ref();
        let Some(download) = &mut reading.download else { return Ok(()) };
        let outcome = loop {
            if let Some((shelf, chunks)) = &mut reading.kept
                && let Err(error) = download.store_whole_chunks(shelf, chunks, &reading.record, clock).await
            {
                // What may go makes room before bytes of this file do, which would be fetched twice.
                if error.kind() == ErrorKind::StorageFull
                    && let Some(store) = &self.store
                    && store.evict_oldest(&shelf.folder).await?
                {
                    continue;
                }
                if error.kind() == ErrorKind::StorageFull
                    && let Some(aheads) = &mut download.aheads
                    && aheads.give_up().await?
                {
                    continue;
                }
                break Err(error);
            }
            if let (Some((_, chunks)), Some(aheads)) = (&reading.kept, &mut download.aheads) {
                aheads.tidy(chunks.stored_bytes()).await?;
            }
            if download.end() >= end {
                break Ok(());
            }
            if let Some((_, chunks)) = &reading.kept {
                download.trim(chunks, keep);
            }
            match download.next(reading.kept.as_mut().map(|(_, chunks)| chunks), clock).await {
                Ok(piece) => {
                    match piece.origin {
                        Origin::Network => self.meter.fetched(piece.bytes.len()),
                        Origin::OldPart => self.meter.read(piece.bytes.len()),
                        Origin::Part => {}
                    }
                    download.window.extend_from_slice(&piece.bytes);
                }
                Err(error) => break Err(error),
            }
        };
        outcome?;
        if download.end() == self.size && reading.kept.is_some() {
            self.complete(reading).await?;
        }
        Ok(())
    }

    /// Writes down that the whole file is stored; from here on it is read from there.
    async fn complete(&self, reading: &mut Reading) -> Result<()> {
        let (Some((shelf, chunks)), Some(download)) = (&mut reading.kept, &mut reading.download) else { return Ok(()) };
        if reading.record.digest.is_some() {
            return Ok(()); // written down before; the window is still being read
        }
        download.connection.seek(self.size);
        if let Some(mut aheads) = download.aheads.take() {
            aheads.give_up().await?;
        }
        let digest = std::mem::take(&mut download.running).finish();
        if let Some(expected) = reading.expected
            && let Err(error) = require_digest(&self.name, expected, digest)
        {
            shelf.drop_file(&self.name).await?;
            return Err(error);
        }
        reading.record.sums = Some(chunks.seal().await?);
        reading.record.digest = Some(digest);
        shelf.keep(reading.record.clone()).await
    }

    /// A chunk's start and bytes, checked; a damaged one is fetched again.
    async fn chunk<'a>(&self, reading: &'a mut Reading, chunk: u64) -> Result<(u64, &'a [u8])> {
        let Some((_, chunks)) = &mut reading.kept else {
            return Err(Error::internal(format!("{}: a file that is not kept has no chunks", self.name)));
        };
        let (start, end) = chunks.bounds(chunk);
        if reading.cached.as_ref().is_none_or(|(cached, _)| *cached != chunk) {
            let follows = reading.cached.as_ref().is_some_and(|(before, _)| before + 1 == chunk);
            let stored = match reading.ahead.take().filter(|ahead| ahead.number() == chunk) {
                Some(ahead) => chunks.check(ahead).await?,
                None => chunks.read(chunk).await?,
            };
            if follows {
                // Where that fails, it is said when the chunk is wanted.
                reading.ahead = chunks.begin_read(chunk + 1).unwrap_or_default();
            }
            let bytes = if let Some(bytes) = stored {
                self.meter.read(bytes.len());
                bytes
            } else {
                let damaged = |what: String| {
                    let detail = format!("{}: the stored bytes {start} to {end} are damaged, and {what}", self.name);
                    Error::new(ErrorKind::Integrity, detail)
                };
                let bytes = self.fetch_range(&reading.record.url, start, end).await;
                let bytes = bytes.map_err(|error| match error.kind() {
                    ErrorKind::DownloadFailed => damaged(format!("fetching them again failed: {}", error.detail())),
                    _ => error,
                })?;
                if !chunks.mend(chunk, &bytes).await? {
                    return Err(damaged("the server has other bytes now; remove the model, or update it".into()));
                }
                bytes
            };
            reading.cached = Some((chunk, bytes));
        }
        let bytes = reading.cached.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        Ok((start, bytes))
    }

    async fn fetch_range(&self, url: &str, start: u64, end: u64) -> Result<Vec<u8>> {
        let failed = |what: &str| Error::new(ErrorKind::DownloadFailed, format!("{}: {what} ({url})", self.name));
        let get = Get { url: url.to_owned(), from: start, until: Some(end), if_range: None, head_only: false };
        let clock = self.ports.clock.as_ref();
        let silent = || Err(failed("the server did not answer in time"));
        let mut answer = within(clock, STALL_MS, self.ports.network.get(&get)).await.unwrap_or_else(silent)?;
        let mut skip = match answer.status() {
            206 => 0,
            200 => start,
            status => return Err(failed(&format!("the server answered with status {status}"))),
        };
        let mut bytes = Vec::with_capacity((end - start) as usize);
        while (bytes.len() as u64) < end - start {
            let piece = within(clock, STALL_MS, answer.piece()).await;
            let Some(piece) = piece.unwrap_or_else(|| Err(failed("the connection was silent for too long")))? else {
                return Err(failed("the body ended early"));
            };
            self.meter.fetched(piece.len());
            let before = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= before as u64;
            let wanted = ((end - start) as usize - bytes.len()).min(piece.len() - before);
            bytes.extend_from_slice(&piece[before..before + wanted]);
        }
        Ok(bytes)
    }
}

/// `integrity` where a file is not the one that is expected.
pub(crate) fn require_digest(name: &str, expected: Digest, found: Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Integrity,
        format!(
            "{name}: expected the sha256 {expected}, found {found}; the server has another file than the application or the manifest expects"
        ),
    ))
}
