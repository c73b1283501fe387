//! The beginning of a GGUF file, as far as it was read, and a position in it.

use std::fmt;

use eyas_core::{Error, Result};

/// Why parsing stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The header goes on: the file's first so many bytes are needed, and the file has them.
    More(u64),
    /// The header is no good.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// Puts `context` before an error's detail.
    pub(crate) fn context(self, context: impl fmt::Display) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.context(context)),
            more @ Self::More(_) => more,
        }
    }
}

/// Reads little-endian values off the beginning of a file. No count that it reads is trusted further than the file's size.
#[derive(Debug)]
pub(crate) struct HeaderBytes<'a> {
    bytes: &'a [u8],
    position: usize,
    file_size: u64,
}

impl<'a> HeaderBytes<'a> {
    /// The first `bytes` of a file of `file_size` bytes.
    pub(crate) fn new(bytes: &'a [u8], file_size: u64) -> Self {
        Self { bytes, position: 0, file_size }
    }

    /// The position in the file.
    pub(crate) fn position(&self) -> u64 {
        self.position as u64
    }

    /// Fails where the file does not go on for `count` items of at least `bytes_each`.
    pub(crate) fn check_left(&self, count: u64, bytes_each: u64, what: &str) -> Result<()> {
        let left = self.file_size.saturating_sub(self.position());
        if count.checked_mul(bytes_each).is_some_and(|bytes| bytes <= left) {
            return Ok(());
        }
        Err(Error::bad_model(format!(
            "expected {count} {what} of {bytes_each} bytes and more each at byte {}, found a file of {} bytes; it is truncated or damaged, \
             download it again",
            self.position, self.file_size
        )))
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: u64, what: &str) -> std::result::Result<&'a [u8], Stop> {
        let end = self.position().checked_add(length).filter(|&end| end <= self.file_size);
        let Some(end) = end else {
            return Err(Stop::Failed(Error::bad_model(format!(
                "expected {length} bytes of {what} at byte {}, found a file of {} bytes; it is truncated or damaged, download it again",
                self.position, self.file_size
            ))));
        };
        let range = usize::try_from(end).ok().and_then(|end| self.bytes.get(self.position..end));
        let Some(taken) = range else {
            return Err(Stop::More(end));
        };
        self.position += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> std::result::Result<[u8; N], Stop> {
        let taken = self.take(N as u64, what)?;
        taken.try_into().map_err(|_| Stop::Failed(Error::internal(format!("{what}: {N} bytes were asked for"))))
    }

    /// The next `u32`.
    pub(crate) fn u32(&mut self, what: &str) -> std::result::Result<u32, Stop> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// The next `u64`.
    pub(crate) fn u64(&mut self, what: &str) -> std::result::Result<u64, Stop> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// The next string: its length in a `u64`, then UTF-8.
    pub(crate) fn string(&mut self, limit: u64, what: &str) -> std::result::Result<&'a str, Stop> {
        let length = self.u64(what)?;
        if length > limit {
            return Err(Stop::Failed(Error::bad_model(format!(
                "expected {what} of at most {limit} bytes at byte {}, found one of {length}; the file is damaged",
                self.position
            ))));
        }
        let at = self.position;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let detail = format!("expected {what} in UTF-8 at byte {at}, found other bytes: {error}; convert the model again");
            Stop::Failed(Error::bad_model(detail).with_source(error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_s_end_and_the_buffer_s_end_differ() {
        let bytes = 7u32.to_le_bytes();
        let mut header = HeaderBytes::new(&bytes, 10);
        assert_eq!(header.u32("x").unwrap(), 7);
        assert!(matches!(header.u32("x"), Err(Stop::More(8))));
        let Err(Stop::Failed(error)) = header.u64("counts") else { panic!() };
        assert!(error.detail().contains("expected 8 bytes of counts at byte 4, found a file of 10 bytes"), "{error}");
        assert!(matches!(header.take(u64::MAX, "x"), Err(Stop::Failed(_))));
        assert!(header.check_left(3, 2, "x").is_ok());
        assert!(header.check_left(u64::MAX, 8, "x").is_err());
    }

    #[test]
    fn strings_are_bounded_and_utf8() {
        let bytes = [&2u64.to_le_bytes()[..], b"\xC3\xA9"].concat();
        assert_eq!(HeaderBytes::new(&bytes, 10).string(9, "a key").unwrap(), "é");
        assert!(matches!(HeaderBytes::new(&bytes, 10).string(1, "a key"), Err(Stop::Failed(_))));
        let bytes = [&1u64.to_le_bytes()[..], b"\xC3"].concat();
        assert!(matches!(HeaderBytes::new(&bytes, 9).string(9, "a key"), Err(Stop::Failed(_))));
    }
}
