//! The device's storage, as the shell gives it.

use std::{any::Any, rc::Rc};

use eyas_core::Result;
use eyas_weights::LocalFuture;

use crate::Digest;

/// An open file. Dropping it closes it.
pub trait StoreFile {
    /// Bytes in the file.
    fn size(&self) -> Result<u64>;
    /// Reads at `offset` and returns how many bytes there were, fewer than asked for only at the file's end.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize>;
    /// Writes at `offset`; fails with `storage-full` where there is no room.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Cuts or extends the file.
    fn truncate(&self, size: u64) -> Result<()>;
    /// Returns when what was written would survive a power cut.
    fn flush(&self) -> Result<()>;
}

/// Folders with files, one level deep. Names are the store's own: lower-case letters, digits and `-`.
pub trait FileSystem {
    /// The names of all folders.
    fn folders(&self) -> LocalFuture<'_, Result<Vec<String>>>;
    /// The names of a folder's files; none where there is no such folder.
    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>>;
    /// A file's bytes counted, whoever has it open; 0 where there is no such file.
    fn size<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<u64>>;
    /// A small file's bytes as they are now, whoever has it open; none where there is no such file.
    fn load<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Option<Vec<u8>>>>;
    /// Replaces a small file's bytes and flushes them. Not atomic: a power cut may leave anything.
    fn save<'a>(&'a self, folder: &'a str, name: &'a str, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>>;
    /// Opens a file for reading and writing, and makes it, empty, where there is none.
    fn open<'a>(&'a self, folder: &'a str, name: &'a str) -> LocalFuture<'a, Result<Rc<dyn StoreFile>>>;
    /// Removes a file, or a folder with everything in it; what is not there is no error.
    fn remove<'a>(&'a self, folder: &'a str, name: Option<&'a str>) -> LocalFuture<'a, Result<()>>;
    /// Bytes that may still be written; none where nobody knows.
    fn free_bytes(&self) -> LocalFuture<'_, Result<Option<u64>>>;
    /// Takes the lock of a folder, which one holder in all tabs can have; it ends with the returned value, or with its tab. Without `wait`, none
    /// where another has it.
    fn lock<'a>(&'a self, folder: &'a str, wait: bool) -> LocalFuture<'a, Result<Option<Box<dyn Any>>>>;
    /// SHA-256 of `bytes`, begun at once; what comes back waits for its end, and may be dropped. A shell may know a faster way than this one, which needs no
    /// thread of the caller's.
    fn digest(&self, bytes: &[u8]) -> LocalFuture<'static, Result<Digest>> {
        let digest = Digest::of(bytes);
        Box::pin(async move { Ok(digest) })
    }
}
