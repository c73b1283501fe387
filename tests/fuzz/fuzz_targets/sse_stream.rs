//! Parses any bytes as an event stream: at once, and cut where the first byte says. Both must tell the same.
#![no_main]

use eyas_tier::SseParser;
use libfuzzer_sys::fuzz_target;

fn parse(chunks: &[&[u8]]) -> Result<Vec<String>, &'static str> {
    let (mut parser, mut events) = (SseParser::new(), Vec::new());
    for chunk in chunks {
        parser.push(chunk, &mut events).map_err(|error| error.code())?;
    }
    Ok(events)
}

fuzz_target!(|bytes: &[u8]| {
    let [cut, bytes @ ..] = bytes else { return };
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(parse(&[bytes]), parse(&[head, tail]));
});
