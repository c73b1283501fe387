//! A file in chunks, each with its digest beside it.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, Result};
use eyas_weights::LocalFuture;

use crate::{
    Digest, FileSystem, StoreFile,
    digest::{DIGEST_BYTES, RunningDigest},
};

/// After so many bytes the device is asked to make them survive a power cut; a tab that dies loses at most one chunk anyway.
const FLUSH_BYTES: u64 = 16 << 20;
/// Bytes of a mark: the digest of the file up to an offset, and that offset, little-endian.
const MARK_BYTES: usize = DIGEST_BYTES + size_of::<u64>();

/// A file in the store: its bytes, and the digest of each chunk.
///
/// What came of a chunk that is not whole yet lies in its place among the bytes. Behind the place of its digest are two marks, which take turns and tell
/// how far the bytes go and what they are; the digests and marks of the chunks behind it lie over them later.
pub(crate) struct ChunkFile {
    files: Rc<dyn FileSystem>,
    data: Rc<dyn StoreFile>,
    sums: Rc<dyn StoreFile>,
    chunk_bytes: u64,
    size: u64,
    digests: Vec<[u8; DIGEST_BYTES]>,
    /// Bytes that are there of the chunk at hand.
    part_bytes: u64,
    /// Which of the two marks is written next.
    turn: u64,
    unflushed_bytes: u64,
}

/// What an earlier visit stored of a file.
pub(crate) struct Resumed {
    /// Of the chunk at hand.
    pub(crate) part: Vec<u8>,
    /// The digest of the chunk at hand, where it is to be fetched again for comparison.
    pub(crate) repeated: Option<Digest>,
}

/// A chunk that was read and is being hashed.
pub(crate) struct UncheckedChunk {
    number: u64,
    bytes: Vec<u8>,
    digest: LocalFuture<'static, Result<Digest>>,
}

impl UncheckedChunk {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Its number, bytes and digest.
    pub(crate) async fn hash(self) -> Result<(u64, Vec<u8>, Digest)> {
        let digest = self.digest.await?;
        Ok((self.number, self.bytes, digest))
    }
}

/// The names of the files of a slot.
pub(crate) fn slot_names(slot: u32) -> [String; 2] {
    [format!("{slot}-data"), format!("{slot}-sums")]
}

/// The names of the files of what was fetched ahead into a slot, from the byte `from` on.
pub(crate) fn part_names(slot: u32, from: u64) -> [String; 2] {
    [format!("{slot}-data-{from}"), format!("{slot}-sums-{from}")]
}

/// What a file in a model's folder is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Of a slot's file.
    Whole { slot: u32 },
    /// Of a part that was fetched ahead.
    Part { slot: u32, from: u64 },
}

impl FileKind {
    /// Reads a name; none where it is none of a slot's.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (slot, rest) = name.split_once('-')?;
        let slot = slot.parse().ok()?;
        match rest.split_once('-') {
            None => ["data", "sums"].contains(&rest).then_some(Self::Whole { slot }),
            Some((kind, from)) if ["data", "sums"].contains(&kind) => from.parse().ok().map(|from| Self::Part { slot, from }),
            Some(_) => None,
        }
    }

    pub(crate) fn slot(&self) -> u32 {
        match self {
            Self::Whole { slot } | Self::Part { slot, .. } => *slot,
        }
    }
}

impl ChunkFile {
    /// Opens the two files `names` as they are.
    pub(crate) async fn open(
        files: &Rc<dyn FileSystem>,
        folder: &str,
        [data, sums]: &[String; 2],
        size: u64,
        chunk_bytes: u32,
    ) -> Result<Self> {
        let (data, sums) = (files.open(folder, data).await?, files.open(folder, sums).await?);
        let chunk_bytes = u64::from(chunk_bytes.max(1));
        Ok(Self {
            files: files.clone(),
            data,
            sums,
            chunk_bytes,
            size,
            digests: Vec::new(),
            part_bytes: 0,
            turn: 0,
            unflushed_bytes: 0,
        })
    }

    /// Makes the two files `names` empty; when it returns, nothing that was there before can come back.
    pub(crate) async fn create(
        files: &Rc<dyn FileSystem>,
        folder: &str,
        names: &[String; 2],
        size: u64,
        chunk_bytes: u32,
    ) -> Result<Self> {
        let file = Self::open(files, folder, names, size, chunk_bytes).await?;
        for part in [&file.sums, &file.data] {
            part.truncate(0)?;
            part.flush()?;
        }
        Ok(file)
    }

    /// Bytes of all chunks that are there.
    pub(crate) fn stored_bytes(&self) -> u64 {
        (self.digests.len() as u64 * self.chunk_bytes).min(self.size)
    }

    /// Where the stored bytes end, with those of the chunk at hand.
    pub(crate) fn end(&self) -> u64 {
        self.stored_bytes() + self.part_bytes
    }

    /// Where the chunk at hand ends.
    pub(crate) fn next_end(&self) -> u64 {
        (self.stored_bytes() + self.chunk_bytes).min(self.size)
    }

    pub(crate) fn chunk_of(&self, offset: u64) -> u64 {
        offset / self.chunk_bytes
    }

    /// The bytes `[start, end)` of a chunk.
    pub(crate) fn bounds(&self, chunk: u64) -> (u64, u64) {
        let start = chunk.saturating_mul(self.chunk_bytes).min(self.size);
        (start, start.saturating_add(self.chunk_bytes).min(self.size))
    }

    /// Adds the next chunk, which is whole; what is there of it already is not written again.
    pub(crate) async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let digest = self.files.digest(bytes).await?;
        self.append_hashed(bytes, digest)
    }

    /// As [`ChunkFile::append`], with the chunk's digest.
    pub(crate) fn append_hashed(&mut self, bytes: &[u8], digest: Digest) -> Result<()> {
        self.data.write(self.end(), &bytes[self.part_bytes as usize..])?;
        self.sums.write((self.digests.len() * DIGEST_BYTES) as u64, &digest.0)?;
        self.digests.push(digest.0);
        self.part_bytes = 0;
        self.unflushed_bytes += bytes.len() as u64;
        if self.unflushed_bytes >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds what came of the chunk at hand, which stays less than the whole; `digest` is that of the file up to its end.
    pub(crate) fn append_part(&mut self, bytes: &[u8], digest: Digest) -> Result<()> {
        let end = self.end() + bytes.len() as u64;
        self.data.write(self.end(), bytes)?;
        let mut mark = [0; MARK_BYTES];
        mark[..DIGEST_BYTES].copy_from_slice(&digest.0);
        mark[DIGEST_BYTES..].copy_from_slice(&end.to_le_bytes());
        self.sums.write(self.mark_offset(self.turn), &mark)?;
        self.turn = 1 - self.turn;
        self.part_bytes += bytes.len() as u64;
        Ok(())
    }

    fn mark_offset(&self, turn: u64) -> u64 {
        ((self.digests.len() + 1) * DIGEST_BYTES) as u64 + turn * MARK_BYTES as u64
    }

    /// What is there of the chunk at hand, as far as a mark vouches for it. Feeds it to `running`, which has the chunks before it.
    fn resume_part(&mut self, running: &mut RunningDigest) -> Result<Vec<u8>> {
        let start = self.stored_bytes();
        let mut marks = Vec::new();
        for turn in 0..2 {
            let mut mark = [0; MARK_BYTES];
            if self.sums.read(self.mark_offset(turn), &mut mark)? < MARK_BYTES {
                continue;
            }
            let (digest, end) = mark.split_at(DIGEST_BYTES);
            let end = end.try_into().map_or(0, u64::from_le_bytes);
            if end > start && end < self.next_end() {
                marks.push((end, turn, digest.to_vec()));
            }
        }
        eyas_core::sort(&mut marks);
        for (end, turn, digest) in marks.into_iter().rev() {
            let mut bytes = vec![0; (end - start) as usize];
            let mut ahead = running.clone();
            if self.data.read(start, &mut bytes)? == bytes.len() {
                ahead.update(&bytes);
            }
            if ahead.clone().finish().0[..] == digest {
                *running = ahead;
                self.part_bytes = end - start;
                self.turn = 1 - turn;
                return Ok(bytes);
            }
        }
        Ok(Vec::new())
    }

    /// Puts a fetched chunk in the place of a damaged one, where it is the one that was there.
    pub(crate) async fn mend(&mut self, chunk: u64, bytes: &[u8]) -> Result<bool> {
        if Some(&self.files.digest(bytes).await?.0) != self.digests.get(chunk as usize) {
            return Ok(false);
        }
        self.data.write(self.bounds(chunk).0, bytes)?;
        self.data.flush()?;
        Ok(true)
    }

    /// A chunk's bytes; none where they are not those that were written.
    pub(crate) async fn read(&self, chunk: u64) -> Result<Option<Vec<u8>>> {
        match self.begin_read(chunk)? {
            Some(unchecked) => self.check(unchecked).await,
            None => Ok(None),
        }
    }

    /// Reads a chunk and begins to hash it; none where it is not there. Much may be done before [`Self::check`].
    pub(crate) fn begin_read(&self, chunk: u64) -> Result<Option<UncheckedChunk>> {
        let Some(bytes) = self.raw(chunk)?.filter(|_| (chunk as usize) < self.digests.len()) else { return Ok(None) };
        let digest = self.files.digest(&bytes);
        Ok(Some(UncheckedChunk { number: chunk, bytes, digest }))
    }

    /// A chunk's bytes; none where they are not those that were written.
    pub(crate) async fn check(&self, chunk: UncheckedChunk) -> Result<Option<Vec<u8>>> {
        let (number, bytes, digest) = chunk.hash().await?;
        Ok(self.has(number, digest).then_some(bytes))
    }

    /// Whether a chunk was written with this digest.
    pub(crate) fn has(&self, chunk: u64, digest: Digest) -> bool {
        self.digests.get(chunk as usize) == Some(&digest.0)
    }

    fn raw(&self, chunk: u64) -> Result<Option<Vec<u8>>> {
        let (start, end) = self.bounds(chunk);
        let mut bytes = vec![0; (end - start) as usize];
        Ok((self.data.read(start, &mut bytes)? == bytes.len()).then_some(bytes))
    }

    /// Finds how far an interrupted download came: the chunks from the beginning on that are whole, and what came of the next one. Feeds their bytes to
    /// `running`. With `repeat_last`, the last whole one and all behind it count as not there, and its digest is returned.
    pub(crate) async fn resume(&mut self, running: &mut RunningDigest, repeat_last: bool) -> Result<Resumed> {
        self.digests.clear();
        self.part_bytes = 0;
        let mut before_last = running.clone();
        while self.stored_bytes() < self.size {
            let chunk = self.digests.len() as u64;
            let mut sum = [0; DIGEST_BYTES];
            if self.sums.read(chunk * DIGEST_BYTES as u64, &mut sum)? < DIGEST_BYTES {
                break;
            }
            let Some(bytes) = self.raw(chunk)? else { break };
            if self.files.digest(&bytes).await?.0 != sum {
                break;
            }
            before_last.clone_from(running);
            running.update(&bytes);
            self.digests.push(sum);
        }
        if !repeat_last {
            return Ok(Resumed { part: self.resume_part(running)?, repeated: None });
        }
        running.clone_from(&before_last);
        Ok(Resumed { part: Vec::new(), repeated: self.digests.pop().map(Digest) })
    }

    /// The digest of the last chunk.
    pub(crate) fn last(&self) -> Option<Digest> {
        self.digests.last().copied().map(Digest)
    }

    /// Flushes everything and returns the digest of all digests.
    pub(crate) async fn seal(&mut self) -> Result<Digest> {
        self.flush()?;
        self.files.digest(self.digests.as_flattened()).await
    }

    fn flush(&mut self) -> Result<()> {
        self.unflushed_bytes = 0;
        self.data.flush()?;
        self.sums.flush()
    }

    /// Reads the digests of a finished file. Where they are damaged themselves they are made anew, if the whole file is still what it was;
    /// otherwise `integrity`.
    pub(crate) async fn unseal(&mut self, digest: Digest, sums: Digest) -> Result<()> {
        let count = self.size.div_ceil(self.chunk_bytes);
        let mut bytes = vec![0; count as usize * DIGEST_BYTES];
        let found = self.sums.read(0, &mut bytes)?;
        if found == bytes.len() && self.files.digest(&bytes).await? == sums {
            self.digests = bytes.as_chunks().0.to_vec();
            return Ok(());
        }
        let mut running = RunningDigest::default();
        self.digests.clear();
        for chunk in 0..count {
            let bytes = self.raw(chunk)?.unwrap_or_default();
            running.update(&bytes);
            self.digests.push(self.files.digest(&bytes).await?.0);
        }
        if running.finish() != digest {
            return Err(Error::new(
                ErrorKind::Integrity,
                "the stored file and its digests are damaged; it must be fetched again",
            ));
        }
        self.sums.write(0, self.digests.as_flattened())?;
        self.sums.flush()
    }
}
