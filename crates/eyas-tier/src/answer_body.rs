//! The body of an answer, whatever its server calls it: an event stream, or one JSON object where a server does not stream.

use eyas_core::Result;

use crate::SseParser;

/// A body as it comes. Its first character tells what it is: no line of an event stream begins with a brace.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// White space at most, and a byte order mark.
    Blank(Vec<u8>),
    Events(SseParser),
    Whole(Vec<u8>),
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Blank(Vec::new())
    }
}

impl AnswerBody {
    /// Takes the next bytes, and appends the data of every event that they complete to `events`.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<String>) -> Result<()> {
        match self {
            Self::Events(sse) => sse.push(bytes, events),
            Self::Whole(whole) => {
                whole.extend_from_slice(bytes);
                Ok(())
            }
            Self::Blank(blank) => {
                blank.extend_from_slice(bytes);
                let first = blank.iter().find(|byte| !byte.is_ascii_whitespace() && !"\u{feff}".as_bytes().contains(byte));
                match first {
                    // A few bytes are kept whole; what is longer is no beginning of JSON.
                    None if blank.len() < 1 << 10 => Ok(()),
                    Some(b'{') => {
                        *self = Self::Whole(std::mem::take(blank));
                        Ok(())
                    }
                    _ => {
                        let mut sse = SseParser::new();
                        let pushed = sse.push(&std::mem::take(blank), events);
                        *self = Self::Events(sse);
                        pushed
                    }
                }
            }
        }
    }

    /// The body of a server that does not stream, once, without white space and mark before it.
    pub(crate) fn take_whole(&mut self) -> Option<Vec<u8>> {
        let Self::Whole(whole) = self else { return None };
        let mut whole = std::mem::take(whole);
        *self = Self::default();
        let begin = whole.iter().position(|byte| *byte == b'{').unwrap_or(0);
        Some(whole.split_off(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, size: usize) -> (Vec<String>, Option<Vec<u8>>) {
        let (mut body, mut events) = (AnswerBody::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            body.push(piece, &mut events).unwrap();
        }
        (events, body.take_whole())
    }

    #[test]
    fn the_first_character_tells_what_it_is_however_it_is_cut() {
        for size in [1, 2, 3, 100] {
            assert_eq!(body("\u{feff} \r\n{\"a\":1}\n", size), (vec![], Some(b"{\"a\":1}\n".to_vec())), "{size}");
            assert_eq!(body("\u{feff}data: {}\n\n", size), (vec!["{}".to_owned()], None), "{size}");
            assert_eq!(body("\n\n: ping\ndata: {\ndata: }\n\n", size), (vec!["{\n}".to_owned()], None), "{size}");
            assert_eq!(body(&"\n".repeat(5000), size), (vec![], None), "{size}");
        }
    }
}
