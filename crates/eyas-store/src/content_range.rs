//! The header `Content-Range: bytes FIRST-LAST/SIZE` (RFC 9110, section 14.4).

use crate::Answer;

/// Which bytes of a file an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Of the whole file, where the server knows it.
    pub(crate) size: Option<u64>,
}

impl ContentRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let size = if size.trim() == "*" { None } else { Some(size.trim().parse().ok()?) };
        (first <= last && size.is_none_or(|size| last < size)).then_some(Self { first, last, size })
    }

    /// Whether it reaches to `end` in a file of `size` bytes, as far as both know.
    pub(crate) fn agrees_with(self, end: Option<u64>, size: Option<u64>) -> bool {
        let has_size = self.size.is_none_or(|mine| size.is_none_or(|size| mine == size));
        has_size && end.is_none_or(|end| self.last.checked_add(1) == Some(end))
    }
}

/// A header that is a number.
pub(crate) fn number(answer: &dyn Answer, header: &str) -> Option<u64> {
    answer.header(header)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_ranges_are_refused_or_make_sense() {
        let (mut random, mut read) = (crate::damage::Random(31), 0);
        for run in 0..crate::damage::runs(50_000) {
            let text = crate::damage::damaged_text(["bytes 2-9/10", "bytes 0-18446744073709551614/*"][run % 2], &mut random);
            let Some(range) = ContentRange::parse(&text) else { continue };
            assert!(range.first <= range.last && range.size.is_none_or(|size| range.last < size), "{text:?}: {range:?}");
            range.agrees_with(Some(u64::MAX), Some(u64::MAX));
            read += 1;
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn ranges_are_read_and_nonsense_is_not() {
        let range = ContentRange::parse("bytes 2-9/10").unwrap();
        assert_eq!(range, ContentRange { first: 2, last: 9, size: Some(10) });
        assert!(range.agrees_with(Some(10), Some(10)) && range.agrees_with(None, None));
        assert!(
            !range.agrees_with(Some(11), Some(11))
                && !range.agrees_with(Some(9), Some(10))
                && !range.agrees_with(Some(10), Some(11))
        );
        assert_eq!(ContentRange::parse("bytes 0-0/*").unwrap().size, None);
        for text in ["", "bytes", "bytes */10", "bytes 9-2/10", "bytes 0-10/10", "items 0-1/2", "bytes 0-1", "bytes -1-2/3"] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }
}
