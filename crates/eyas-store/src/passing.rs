//! A file's bytes on their way from the network to a reader, where nothing is kept.

use std::collections::VecDeque;

use eyas_core::Result;

use crate::{Digest, Meter, connection::Connection, digest::RunningDigest, model_file::require_digest};

/// A forward jump up to this size is read over rather than requested anew.
const READ_OVER_BYTES: u64 = 1 << 20;

/// A file that is read in passing: what the last read was given stays at hand until the next one, and nothing else.
pub(crate) struct Passing {
    connection: Connection,
    /// As they came.
    pieces: VecDeque<Vec<u8>>,
    /// Offset of the first piece's first byte.
    start: u64,
    /// Offset behind the last piece's last byte.
    end: u64,
    /// Has the bytes from the beginning on that were read in order, where the whole file's digest is expected.
    running: RunningDigest,
    hashed_bytes: u64,
}

impl Passing {
    /// A connection that stands at the file's beginning.
    pub(crate) fn new(connection: Connection) -> Self {
        let (pieces, running) = (VecDeque::new(), RunningDigest::default());
        Self { connection, pieces, start: 0, end: 0, running, hashed_bytes: 0 }
    }

    /// The bytes `[from, to)`. Where they are not at hand, the connection goes on, or jumps to them; with `is_expected` they are hashed.
    pub(crate) async fn read(&mut self, (from, to): (u64, u64), is_expected: bool, meter: &Meter) -> Result<Vec<u8>> {
        if from == to {
            return Ok(Vec::new());
        }
        if from < self.start || from > self.end + READ_OVER_BYTES {
            self.seek(from);
        }
        loop {
            while let Some(piece) = self.pieces.pop_front_if(|piece| self.start + piece.len() as u64 <= from) {
                self.start += piece.len() as u64;
            }
            if self.end >= to {
                return Ok(self.copied(from, to));
            }
            let piece = self.next(is_expected, meter).await?;
            self.pieces.push_back(piece);
        }
    }

    /// Fails with `integrity` where the whole file does not have this digest. What was not read in order is fetched for that alone.
    pub(crate) async fn check(&mut self, name: &str, expected: Digest, size: u64, meter: &Meter) -> Result<()> {
        if self.hashed_bytes != self.end {
            self.seek(self.hashed_bytes);
        }
        while self.hashed_bytes < size {
            self.next(true, meter).await?;
            self.pieces.clear();
            self.start = self.end;
        }
        require_digest(name, expected, std::mem::take(&mut self.running).finish())
    }

    fn seek(&mut self, offset: u64) {
        self.connection.seek(offset);
        self.pieces.clear();
        (self.start, self.end) = (offset, offset);
    }

    async fn next(&mut self, is_expected: bool, meter: &Meter) -> Result<Vec<u8>> {
        let piece = self.connection.next().await?;
        meter.fetched(piece.len());
        if is_expected {
            let known = self.hashed_bytes.checked_sub(self.end).and_then(|known| usize::try_from(known).ok());
            if let Some(new) = known.and_then(|known| piece.get(known..)) {
                self.running.update(new);
                self.hashed_bytes += new.len() as u64;
            }
        }
        self.end += piece.len() as u64;
        Ok(piece)
    }

    fn copied(&self, from: u64, to: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((to - from) as usize);
        let mut start = self.start;
        for piece in &self.pieces {
            let end = start + piece.len() as u64;
            let (first, last) = (from.max(start), to.min(end));
            if first < last {
                bytes.extend_from_slice(&piece[(first - start) as usize..(last - start) as usize]);
            }
            start = end;
        }
        bytes
    }
}
