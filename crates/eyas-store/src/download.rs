//! A file's bytes on their way from the network into the store.

use eyas_core::{Clock, Error, ErrorKind, Result, within};

use crate::{
    Digest, FileRecord,
    ahead::{Aheads, Piece},
    chunk_file::ChunkFile,
    connection::Connection,
    digest::RunningDigest,
    shelf::Shelf,
};

/// What came of a chunk is stored so often: a tab that dies loses what came in this time, and what was on its way.
const BEGUN_MS: f64 = 100.0;

/// The download of a file that is kept.
pub(crate) struct Download {
    pub(crate) connection: Connection,
    /// What is fetched ahead; absent where nothing is kept.
    pub(crate) aheads: Option<Aheads>,
    /// The last bytes that came: at least those that are in no stored chunk yet.
    pub(crate) window: Vec<u8>,
    /// Offset of the window's first byte.
    pub(crate) window_start: u64,
    /// Has the bytes that are stored.
    pub(crate) running: RunningDigest,
    /// The digest that the next chunk had on an earlier visit, where it is fetched again for comparison.
    pub(crate) repeated: Option<Digest>,
    /// When bytes were stored last.
    stored_ms: f64,
}

impl Download {
    /// A download that stands at `position`, begun at `now_ms` of the store's clock.
    pub(crate) fn new(connection: Connection, position: u64, now_ms: f64) -> Self {
        Self {
            connection,
            aheads: None,
            window: Vec::new(),
            window_start: position,
            running: RunningDigest::default(),
            repeated: None,
            stored_ms: now_ms,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.window_start + self.window.len() as u64
    }

    /// Drops bytes before `keep` from the window that are in a stored chunk already.
    pub(crate) fn trim(&mut self, chunks: &ChunkFile, keep: u64) {
        let limit = keep.min(chunks.stored_bytes());
        let cut = limit.saturating_sub(self.window_start).min(self.window.len() as u64);
        self.window.drain(..cut as usize);
        self.window_start += cut;
    }

    /// The next bytes. What came before them and makes no whole chunk yet is stored when it has waited for [`BEGUN_MS`], also while nothing
    /// comes, and where the connection fails.
    pub(crate) async fn next(&mut self, kept: Option<&mut ChunkFile>, clock: &dyn Clock) -> Result<Piece> {
        let end = self.end();
        // In a box, so that it is polled in one place of the program.
        let mut next = Box::pin(next_piece(&mut self.connection, self.aheads.as_mut(), end));
        // A chunk that is fetched again for comparison must not take the place of what it is compared with.
        let Some(chunks) = kept.filter(|chunks| self.repeated.is_none() && chunks.end() < end) else {
            return next.await;
        };
        let mut begun = BegunChunk {
            bytes: &self.window[(chunks.end() - self.window_start) as usize..],
            chunks,
            running: &mut self.running,
            stored_ms: &mut self.stored_ms,
        };
        let left_ms = *begun.stored_ms + BEGUN_MS - clock.now_ms();
        if left_ms <= 0.0 {
            begun.store(clock)?;
            return next.await;
        }
        match within(clock, left_ms, next.as_mut()).await {
            Some(Ok(piece)) => Ok(piece),
            Some(Err(error)) => {
                // What the store makes of it does not hide why the connection failed.
                let _ = begun.store(clock);
                Err(error)
            }
            None => {
                begun.store(clock)?;
                next.await
            }
        }
    }

    pub(crate) async fn store_whole_chunks(
        &mut self,
        shelf: &Shelf,
        chunks: &mut ChunkFile,
        record: &FileRecord,
        clock: &dyn Clock,
    ) -> Result<()> {
        while chunks.stored_bytes() < record.size && self.end() >= chunks.next_end() {
            let (start, hashed, end) = (chunks.stored_bytes(), chunks.end(), chunks.next_end());
            let within = |offset: u64| (offset - self.window_start) as usize;
            chunks.append(&self.window[within(start)..within(end)]).await?;
            if let Some(earlier) = self.repeated.take()
                && chunks.last() != Some(earlier)
            {
                shelf.drop_file(&record.name).await?;
                let detail =
                    format!("{}: the file changed on the server since its download began; load the model again", record.name);
                return Err(Error::new(ErrorKind::DownloadFailed, detail));
            }
            self.running.update(&self.window[within(hashed)..within(end)]);
            self.stored_ms = clock.now_ms();
        }
        Ok(())
    }
}

async fn next_piece(connection: &mut Connection, aheads: Option<&mut Aheads>, end: u64) -> Result<Piece> {
    match aheads {
        Some(aheads) => aheads.next(connection, end).await,
        None => connection.next().await.map(Piece::fetched),
    }
}

/// What came of the chunk at hand and is not stored yet.
struct BegunChunk<'a> {
    bytes: &'a [u8],
    chunks: &'a mut ChunkFile,
    running: &'a mut RunningDigest,
    stored_ms: &'a mut f64,
}

impl BegunChunk<'_> {
    /// Stores it. Where the device is full nothing is lost yet: that is said where the whole chunk is stored.
    fn store(&mut self, clock: &dyn Clock) -> Result<()> {
        let mut ahead = self.running.clone();
        ahead.update(self.bytes);
        *self.stored_ms = clock.now_ms();
        match self.chunks.append_part(self.bytes, ahead.clone().finish()) {
            Ok(()) => *self.running = ahead,
            Err(error) if error.kind() == ErrorKind::StorageFull => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
