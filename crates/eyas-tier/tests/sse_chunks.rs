//! However a stream is cut, it says the same; and no bytes break the parser.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_tier::SseParser;
use lab::Dice;
use proptest::prelude::*;

fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut parser, mut events) = (SseParser::new(), Vec::new());
    for chunk in chunks {
        parser.push(chunk, &mut events).unwrap();
    }
    events
}

/// A text of the parts that streams are made of.
fn stream(dice: &mut Dice) -> Vec<u8> {
    let parts: [&[u8]; 14] = [
        b"data: ",
        b"data",
        b"data:",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b":",
        b" ",
        b"event: x",
        "\u{feff}".as_bytes(),
        "€🐦".as_bytes(),
        b"{\"a\":1}",
        b"\xff\xe2\x82",
    ];
    (0..dice.roll(40)).flat_map(|_| dice.pick(&parts).to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn byte_by_byte_and_any_cut_equal_all_at_once(seed: u64) {
        let mut dice = Dice(seed);
        let bytes = stream(&mut dice);
        let whole = parse([&bytes[..]]);
        prop_assert_eq!(&parse(bytes.chunks(1)), &whole);
        let cut = dice.roll(bytes.len() as u64 + 1) as usize;
        prop_assert_eq!(&parse([&bytes[..cut], b"", &bytes[cut..]]), &whole);
    }
}

#[test]
fn two_hundred_thousand_mutated_streams_are_parsed_or_refused() {
    let good = [lab::delta("a€b"), lab::finish()].concat();
    let mut dice = Dice(7);
    let mut events = 0;
    for _ in 0..200_000 {
        let mut bytes = good.clone();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(bytes.len() as u64) as usize;
            match dice.roll(3) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => bytes.insert(at, dice.pick(b"\r\n:d \xef")),
                _ => drop(bytes.remove(at)),
            }
        }
        events += parse([&bytes[..]]).len();
    }
    assert!(events > 200_000, "{events}");
}
