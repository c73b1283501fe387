//! Server-sent events, from bytes as they come.
//!
//! The format is the HTML standard's (section "Server-sent events", event stream interpretation): lines end with CR, LF or CRLF, one
//! byte order mark may lead, a line that begins with a colon is a comment, several `data` fields make one text with line feeds between,
//! and an empty line ends an event. Event names, ids and retry times are read over: no OpenAI-compatible server needs them.

use eyas_core::{Error, ErrorKind, Result};

/// The longest event that is taken: a server that sends more is broken or hostile.
pub const MAX_EVENT_BYTES: usize = 4 << 20;

/// Turns chunks of bytes, however they are cut, into the data of events.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    /// Whether the first line, which may begin with a byte order mark, is over.
    begun: bool,
}

impl SseParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the data of every event that they complete to `events`. Invalid UTF-8 becomes U+FFFD, as the
    /// standard says. Fails with `cloud-refused` where an event is longer than [`MAX_EVENT_BYTES`].
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<String>) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (part, tail) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len() + self.data.len() + part.len() > MAX_EVENT_BYTES {
                return Err(Error::new(
                    ErrorKind::CloudRefused,
                    format!("the cloud sent an event of more than {MAX_EVENT_BYTES} bytes; no answer needs one so long"),
                ));
            }
            self.line.extend_from_slice(part);
            rest = tail;
            if let Some((&terminator, tail)) = rest.split_first() {
                self.after_cr = terminator == b'\r';
                self.end_line(events);
                rest = tail;
            }
        }
        Ok(())
    }

    /// An event that the stream's end cut off is dropped, as the standard says.
    fn end_line(&mut self, events: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let line = if is_first { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line) } else { &line };
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                events.push(String::from_utf8_lossy(&std::mem::take(&mut self.data)).into_owned());
            }
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        if field == b"data" {
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<String> {
        let (mut parser, mut events) = (SseParser::new(), Vec::new());
        for chunk in chunks {
            parser.push(chunk, &mut events).unwrap();
        }
        events
    }

    #[test]
    fn every_line_end_ends_a_line() {
        for text in
            ["data: a\n\ndata: b\n\n", "data: a\r\rdata: b\r\r", "data: a\r\n\r\ndata: b\r\n\r\n", "data:a\r\n\ndata: b\n\r\n"]
        {
            assert_eq!(parse(&[text.as_bytes()]), ["a", "b"], "{text:?}");
        }
        assert_eq!(parse(&[b"data: a\r", b"\n\r", b"\n"]), ["a"]);
    }

    #[test]
    fn a_mark_comments_names_and_unfinished_events_are_read_over() {
        assert_eq!(parse(&["\u{feff}data: a\n\n".as_bytes()]), ["a"]);
        assert_eq!(parse(&["data: \u{feff}a\n\n\u{feff}data: b\n\n".as_bytes()]), ["\u{feff}a"]);
        assert_eq!(parse(&[b": ping\n\nevent: x\nid: 1\nretry: 5\nnonsense\ndata: a\n:\n\ndata: cut"]), ["a"]);
    }

    #[test]
    fn data_of_several_lines_is_one_text_and_an_empty_one_counts() {
        assert_eq!(parse(&[b"data: a\ndata:  b\ndata\n\ndata:\n\n"]), ["a\n b\n", ""]);
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "data: \u{20ac}\u{1f426}\n\n".as_bytes();
        for cut in 0..=text.len() {
            assert_eq!(parse(&[&text[..cut], &text[cut..]]), ["\u{20ac}\u{1f426}"]);
        }
        assert_eq!(parse(&[b"data: \xff\n\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut parser = SseParser::new();
        let error = parser.push(&vec![b'x'; MAX_EVENT_BYTES + 1], &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), "cloud-refused");
    }
}
