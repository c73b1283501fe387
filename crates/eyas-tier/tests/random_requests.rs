//! A hundred thousand requests in a world where anything may fail at any time, with what must hold for each of them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use std::collections::BTreeMap;

use eyas_core::{CancelToken, ErrorKind, GenerateOptions, Message, Role, Tier};
use eyas_tier::{MidStream, Privacy, Reason, TierRequest};
use lab::{Act, Dice, End, FakeDevice, Phase, World, delta, finish, good};

const REQUESTS: u64 = 100_000;
const REQUESTS_OF_A_WORLD: u64 = 50;

fn config(dice: &mut Dice) -> String {
    let privacy = dice.pick(&Privacy::ALL);
    let taint = dice.pick(&["refuse", "without"]);
    let retries = dice.pick(&[0, 1, 2, 5, 1000]);
    let cloud = format!(
        r#""cloud":{{"endpoint":"https://models.example/v1","model":"big","taint":"{taint}",
            "retry":{{"maxRetries":{retries},"idleTimeoutMs":1000,"totalTimeoutMs":20000}}}},"#
    );
    let cloud = if dice.roll(8) == 0 { String::new() } else { cloud };
    let calibration = r#""calibration":{"thresholds":[{"model":"model","quantize":"q8","task":"default","signal":"meanLogprob",
        "threshold":-1.0,"alpha":0.1,"examples":100,"baseRisk":0.2,"deferralRate":0.3}]},"#;
    let calibration = if dice.roll(2) == 0 { "" } else { calibration };
    let budget = if dice.roll(3) == 0 { r#""budget":{"firstTokenMs":60},"# } else { "" };
    let mid_stream = dice.pick(&["hold", "replace", "append"]);
    let saving = format!(r#""saving":{{"data":{},"battery":{}}}"#, dice.roll(10) == 0, dice.roll(10) == 0);
    format!(r#"{{"privacy":"{privacy}",{cloud}{calibration}{budget}"midStream":"{mid_stream}",{saving}}}"#)
}

fn act(dice: &mut Dice) -> Act {
    let headers = match dice.roll(8) {
        0 => vec![("retry-after", "2")],
        1 => vec![("retry-after-ms", "0")],
        2 => vec![("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")],
        3 => vec![("retry-after", "1000000")],
        4 => vec![("x-should-retry", "true")],
        5 => vec![("x-should-retry", "false")],
        _ => Vec::new(),
    };
    match dice.roll(12) {
        0 => Act::Refuse(dice.roll(2000) as f64),
        1 => Act::Hang,
        2..=4 => Act::Status(dice.pick(&[400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 301]), headers),
        5 => {
            let pieces = (0..dice.roll(4)).map(|i| (50.0, delta(&format!("c{i}")))).collect();
            Act::Stream(pieces, dice.pick(&[End::Close, End::Reset, End::Stall]))
        }
        6 => Act::Stream(vec![(1.0, b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_vec())], End::Close),
        7 => Act::Stream((0..100_000).map(|_| (900.0, b": drip\n".to_vec())).take(200).collect(), End::Stall),
        8 => Act::Stream(vec![(1.0, b"<html>garbage\n\ndata: {\n\n".to_vec())], End::Close),
        9 => Act::Stream(vec![(1.0, delta("a")), (1.0, finish())], End::Reset),
        _ => good(&["cloud ", "answer"]),
    }
}

fn device(dice: &mut Dice, world: &World, echo: &str) -> FakeDevice {
    let kinds: Vec<ErrorKind> = ErrorKind::ALL.to_vec();
    let mut device = world.device(&["local ", "answer to ", echo]);
    device.logprob = dice.pick(&[-0.1, -3.0]);
    device.step_ms = dice.pick(&[1.0, 25.0, 100.0]);
    device.fails = (dice.roll(2) == 0).then(|| (dice.pick(&Phase::ALL), dice.pick(&kinds)));
    device
}

/// Runs one world; returns how many answers came from where.
fn world(seed: u64, tally: &mut BTreeMap<&'static str, u64>) {
    let mut dice = Dice(seed);
    let text = config(&mut dice);
    let world = World::new(&text);
    let mut histories: BTreeMap<u32, Vec<Message>> = BTreeMap::new();
    for number in 0..REQUESTS_OF_A_WORLD {
        let session = dice.roll(4) as u32;
        if dice.roll(10) == 0 {
            let to = dice.roll(4) as u32;
            if to != session {
                world.tiers.forget(to);
                world.tiers.fork(session, to);
                let history = histories.get(&session).cloned().unwrap_or_default();
                histories.insert(to, history);
            }
        }
        let privacy: Vec<Privacy> = (0..dice.roll(3)).map(|_| dice.pick(&Privacy::ALL)).collect();
        let strictest = privacy.iter().fold(world.tiers.config().privacy, |all, one| all.combine(*one));
        let is_local_only = strictest == Privacy::LocalOnly;
        let question = if is_local_only { format!("SECRET {number}") } else { format!("question {number}") };
        let history = histories.entry(session).or_default();
        if history.len() > 12 {
            history.drain(..2);
        }
        let mut messages = history.clone();
        messages.push(Message::user(&question));
        let echo: String = messages.iter().filter_map(|message| message.content.clone()).collect::<Vec<_>>().join(" | ");
        world.plays((0..8).map(|_| act(&mut dice)).collect::<Vec<_>>());
        let (calls, bytes) = (world.network.calls.get(), world.network.bytes.get());
        let cancel = CancelToken::new();
        world.clock.0.no_abort();
        let started_ms = eyas_tier::Clock::now_ms(&world.clock);
        let is_aborted = dice.roll(10) == 0;
        if is_aborted {
            world.clock.0.abort_at(started_ms + dice.roll(3000) as f64, cancel.clone());
        }
        let mid_stream = dice.pick(&[None, Some(MidStream::Hold), Some(MidStream::Replace), Some(MidStream::Append)]);
        let options = GenerateOptions { top_k: usize::from(dice.roll(20) == 0), ..GenerateOptions::default() };
        let request =
            TierRequest { session, privacy, mid_stream, messages: Some(messages.clone()), options, ..TierRequest::default() };
        let side = device(&mut dice, &world, &echo).side();
        let answer = world.tiers.start(request, side, cancel.clone());
        let (shown, switches, end) = world.run(answer);

        let context = format!("seed {seed}, request {number}: {text}: {end:?}");
        let (sent_calls, sent_bytes) = (world.network.calls.get() - calls, world.network.bytes.get() - bytes);
        assert!(!is_local_only || (sent_calls, sent_bytes) == (0, 0), "{context}");
        assert_eq!(world.tiers.ledger().total_bytes(), world.network.bytes.get(), "{context}");
        let entries = world.tiers.ledger().entries();
        assert_eq!(entries.len() as u64, world.network.calls.get(), "{context}");
        assert!(entries[calls as usize..].iter().all(|entry| entry.outcome != eyas_tier::EgressOutcome::Sent), "{context}");
        assert!(sent_calls <= 7, "{sent_calls} attempts: {context}");
        assert!(switches <= 1, "{context}");
        let took_ms = eyas_tier::Clock::now_ms(&world.clock) - started_ms;
        assert!(took_ms <= 20_000.0 + 2_000.0, "{took_ms} ms: {context}");
        match end {
            Ok(completion) => {
                assert!(!cancel.is_cancelled(), "an aborted request must not answer: {context}");
                let provenance = &completion.provenance;
                assert_eq!(shown, completion.text, "{context}");
                assert_eq!(
                    (provenance.bytes_sent, provenance.request),
                    (
                        sent_bytes,
                        entries.last().map_or(provenance.request, |last| if sent_calls > 0 {
                            last.request
                        } else {
                            provenance.request
                        })
                    ),
                    "{context}"
                );
                assert!(!provenance.detail.is_empty() && provenance.attempts >= 1, "{context}");
                match provenance.tier {
                    Tier::Cloud => {
                        assert!(!is_local_only && sent_calls > 0, "{context}");
                        *tally.entry("cloud").or_default() += 1;
                    }
                    Tier::Local => {
                        assert!(!is_local_only || provenance.reason == Reason::MayNot, "{context}");
                        *tally.entry("local").or_default() += 1;
                    }
                }
                let history = histories.entry(session).or_default();
                *history = messages;
                history.push(Message::new(Role::Assistant, completion.text));
            }
            Err(error) => {
                assert_eq!(cancel.is_cancelled(), error.code() == "aborted" && cancel.is_cancelled(), "{context}");
                *tally.entry(error.code()).or_default() += 1;
            }
        }
    }
    // Whatever the application allowed later: what local-only requests said, and what answered them, never left.
    assert!(world.network.bodies.borrow().iter().all(|body| !body.contains("SECRET")), "seed {seed}: {text}");
}

#[test]
fn a_hundred_thousand_requests_keep_every_promise() {
    let mut tally = BTreeMap::new();
    for seed in 0..REQUESTS / REQUESTS_OF_A_WORLD {
        world(seed, &mut tally);
    }
    println!("{REQUESTS} requests: {tally:?}");
    assert_eq!(tally.values().sum::<u64>(), REQUESTS);
    for name in ["local", "cloud", "aborted", "local-only", "cloud-http", "cloud-timeout", "cloud-truncated", "cloud-refused"] {
        assert!(tally.get(name).is_some_and(|count| *count > 100), "{name} hardly ever happened: {tally:?}");
    }
}
