//! A hundred thousand requests in a world where anything may fail at any time, with what must hold for each of them: each provenance and each error
//! is held against what the world really did.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod explanation;
mod lab;

use std::collections::BTreeMap;

use explanation::{Closed, Happening, Served, explain_answer, explain_failure};
use eyas_core::{CancelToken, ErrorKind, GenerateOptions, Message, Result, Role, Tier};
use eyas_tier::{EgressEntry, EgressOutcome, MidStream, Privacy, TaintRule, TierCompletion, TierRequest};
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

/// What the server does with a request, and what that comes to.
fn served(dice: &mut Dice) -> (Act, Served) {
    let headers = match dice.roll(8) {
        0 => vec![("retry-after", "2")],
        1 => vec![("retry-after-ms", "0")],
        2 => vec![("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")],
        3 => vec![("retry-after", "1000000")],
        4 => vec![("x-should-retry", "true")],
        5 => vec![("x-should-retry", "false")],
        _ => Vec::new(),
    };
    match dice.roll(14) {
        0 => {
            let ms = dice.roll(2000) as f64;
            let codes: &[&str] = if ms < 990.0 { &["cloud-http"] } else { &["cloud-timeout", "cloud-http"] };
            (Act::Refuse(ms), Served::silence(codes))
        }
        1 => (Act::Hang, Served::silence(&["cloud-timeout"])),
        2..=4 => {
            let status = dice.pick(&[400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 301]);
            let is_worth = match headers.first() {
                Some(("x-should-retry", word)) => *word == "true" || status == 401,
                _ => matches!(status, 401 | 408 | 409 | 429 | 500..),
            };
            let codes: &[&str] = if matches!(status, 401 | 403) { &["cloud-refused"] } else { &["cloud-http"] };
            (Act::Status(status, headers), Served::failure(codes, is_worth))
        }
        5 => {
            let count = dice.roll(4);
            let words: Vec<String> = (0..count).map(|i| format!("c{i}")).collect();
            let pieces = words.iter().map(|word| (50.0, delta(word))).collect();
            let end = dice.pick(&[End::Close, End::Reset, End::Stall]);
            let codes: &[&str] = if end == End::Stall { &["cloud-timeout"] } else { &["cloud-truncated"] };
            (Act::Stream(pieces, end), Served { text: words.concat(), ..Served::failure(codes, count == 0) })
        }
        6 => {
            let event = b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_vec();
            (Act::Stream(vec![(1.0, event)], End::Close), Served::failure(&["cloud-refused"], false))
        }
        7 => {
            let drip = (0..200).map(|_| (900.0, b": drip\n".to_vec())).collect();
            (Act::Stream(drip, End::Stall), Served::failure(&["cloud-timeout"], false))
        }
        8 => {
            let garbage = b"<html>garbage\n\ndata: {\n\n".to_vec();
            (Act::Stream(vec![(1.0, garbage)], End::Close), Served::failure(&["cloud-refused"], false))
        }
        9 => (Act::Stream(vec![(1.0, delta("a")), (1.0, finish())], End::Reset), Served::answer("a")),
        10 => {
            let refusal = r#"{"choices":[{"message":{"refusal":"no"},"finish_reason":"stop"}]}"#;
            (Act::Body("application/json", refusal.into()), Served::failure(&["cloud-refused"], false))
        }
        11 => (good(&[]), Served::answer("")),
        _ => (good(&["cloud ", "answer"]), Served::answer("cloud answer")),
    }
}

fn device(dice: &mut Dice, world: &World, words: &[&str]) -> FakeDevice {
    let kinds: Vec<ErrorKind> = ErrorKind::ALL.to_vec();
    let mut device = world.device(words);
    device.logprob = dice.pick(&[-0.1, -3.0]);
    device.step_ms = dice.pick(&[1.0, 25.0, 100.0]);
    device.fails = (dice.roll(2) == 0).then(|| (dice.pick(&Phase::ALL), dice.pick(&kinds)));
    device
}

/// Tokens of what must not leave, and of what a refused request said, which may be kept with it.
#[derive(Default)]
struct Kept {
    must: Vec<String>,
    may: Vec<String>,
}

impl Kept {
    fn holds(tokens: &[String], message: &Message) -> bool {
        let text = message.content.as_deref().unwrap_or_default();
        tokens.iter().any(|token| text.contains(token.as_str()))
    }
}

fn text_of(message: &Message) -> &str {
    message.content.as_deref().unwrap_or_default()
}

struct RandomWorld {
    dice: Dice,
    config: String,
    world: World,
    histories: BTreeMap<u32, Vec<Message>>,
    kept: Kept,
}

impl RandomWorld {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let config = config(&mut dice);
        let world = World::new(&config);
        Self { dice, config, world, histories: BTreeMap::new(), kept: Kept::default() }
    }

    fn fork_at_random(&mut self, session: u32) {
        let to = self.dice.roll(4) as u32;
        if self.dice.roll(10) == 0 && to != session {
            self.world.tiers.forget(to);
            self.world.tiers.fork(session, to);
            let history = self.histories.get(&session).cloned().unwrap_or_default();
            self.histories.insert(to, history);
        }
    }

    /// The messages of the next request: the history, at times with a part of it quoted by the application, and a question.
    fn messages(&mut self, session: u32, number: u64) -> (Vec<Message>, Vec<String>) {
        let history = self.histories.entry(session).or_default();
        if history.len() > 12 {
            history.drain(..2);
        }
        let mut messages = history.clone();
        let mut tokens = vec![format!("question {number:04}.")];
        if self.dice.roll(4) == 0 && !messages.is_empty() {
            let quoted = text_of(&self.dice.pick(&messages)).to_owned();
            let token = format!("quote {number:04}:");
            let role = self.dice.pick(&[Role::System, Role::Tool, Role::User, Role::Assistant]);
            messages.push(Message::new(role, format!("{token} {}", quoted.to_uppercase().replace(' ', "\n"))));
            tokens.push(token);
        }
        messages.push(Message::user(&tokens[0]));
        (messages, tokens)
    }

    /// Why the cloud may not be asked, by the world's own books; none where it may.
    fn closed(&self, strictest: Privacy, messages: &[Message], top_k: usize) -> Option<Closed> {
        let config = self.world.tiers.config();
        let is_tainted = messages.iter().any(|message| Kept::holds(&self.kept.must, message));
        match &config.cloud {
            _ if strictest == Privacy::LocalOnly => Some(Closed::LocalOnly),
            None => Some(Closed::NoCloud),
            Some(cloud) if is_tainted && cloud.taint == TaintRule::Refuse => Some(Closed::Tainted),
            Some(_) if top_k > 0 => Some(Closed::Option),
            Some(_) => None,
        }
    }

    /// One request; returns who answered it or how it ended.
    fn request(&mut self, number: u64) -> &'static str {
        let session = self.dice.roll(4) as u32;
        self.fork_at_random(session);
        let privacy: Vec<Privacy> = (0..self.dice.roll(3)).map(|_| self.dice.pick(&Privacy::ALL)).collect();
        let strictest = privacy.iter().fold(self.world.tiers.config().privacy, |all, one| all.combine(*one));
        let (messages, tokens) = self.messages(session, number);
        let echo: String = messages.iter().rev().take(3).map(text_of).collect::<Vec<_>>().join(" | ");
        let word = format!("local {number:04} ");
        let (acts, served): (Vec<_>, Vec<_>) = (0..8).map(|_| served(&mut self.dice)).unzip();
        self.world.plays(acts);
        let options = GenerateOptions {
            top_k: usize::from(self.dice.roll(20) == 0),
            seed: (self.dice.roll(2) == 0).then_some(5),
            ..GenerateOptions::default()
        };
        let is_secret = strictest == Privacy::LocalOnly || messages.iter().any(|message| Kept::holds(&self.kept.must, message));
        let may_be_kept = messages.iter().any(|message| Kept::holds(&self.kept.may, message));
        let closed = self.closed(strictest, &messages, options.top_k);
        let before = self.world.tiers.ledger().entries().len();
        let cancel = CancelToken::new();
        self.world.clock.0.no_abort();
        let started_ms = eyas_tier::Clock::now_ms(&self.world.clock);
        if self.dice.roll(10) == 0 {
            self.world.clock.0.abort_at(started_ms + self.dice.roll(3000) as f64, cancel.clone());
        }
        let mid_stream = self.dice.pick(&[None, Some(MidStream::Hold), Some(MidStream::Replace), Some(MidStream::Append)]);
        let (own_seed, asked) = (self.dice.roll(2) == 0, Some(messages.clone()));
        let has_seed = options.seed.is_some() && !own_seed;
        let request = TierRequest { session, privacy, mid_stream, messages: asked, options, own_seed, ..TierRequest::default() };
        let device = device(&mut self.dice, &self.world, &[&word, "answer to ", &echo]);
        let answer = self.world.tiers.start(request, device.side(), cancel.clone());
        let (shown, switches, end) = self.world.run(answer);

        let context = format!("request {number}: {}: {device:?} {served:?}: {end:?}", self.config);
        let entries = self.world.tiers.ledger().entries();
        let happening = Happening {
            strictest,
            closed,
            may_be_closed: may_be_kept,
            saving: self.world.tiers.config().saving,
            has_budget: self.world.tiers.config().budget.first_token_ms.is_some(),
            is_calibrated: self.world.tiers.config().calibration.is_some(),
            device: &device,
            served: &served[..entries.len() - before],
            took_ms: eyas_tier::Clock::now_ms(&self.world.clock) - started_ms,
        };
        self.check_ledger(&happening, &entries, before, &context);
        self.check_bodies(&messages, before, has_seed, &context);
        assert!(switches <= 1 && happening.took_ms <= 22_000.0, "{context}");
        if strictest == Privacy::LocalOnly {
            self.kept.must.extend(tokens.clone());
        } else if is_secret {
            self.kept.may.extend(tokens);
        }
        if is_secret {
            self.kept.must.push(word);
        }
        assert!(!(cancel.is_cancelled() && end.is_ok()), "an aborted request must not answer: {context}");
        match &end {
            Ok(completion) => {
                assert_eq!(shown, completion.text, "{context}");
                assert_eq!(completion.provenance.bytes_sent, entries[before..].iter().map(|entry| entry.bytes).sum::<u64>());
                explain_answer(&happening, completion, &context);
            }
            Err(error) if cancel.is_cancelled() => assert_eq!(error.code(), "aborted", "{context}"),
            Err(error) => explain_failure(&happening, error, &shown, &context),
        }
        self.remember(session, messages, &shown, &end, is_secret);
        end.as_ref().map_or_else(eyas_core::Error::code, |completion| {
            if completion.provenance.tier == Tier::Cloud { "cloud" } else { "local" }
        })
    }

    /// What an application keeps: the answer, or at times what was shown of one that was broken off.
    fn remember(&mut self, session: u32, messages: Vec<Message>, shown: &str, end: &Result<TierCompletion>, is_secret: bool) {
        if end.is_ok() || (is_secret && !shown.is_empty() && self.dice.roll(2) == 0) {
            let mut history = messages;
            history.push(Message::new(Role::Assistant, shown));
            self.histories.insert(session, history);
        }
    }

    fn check_ledger(&self, happening: &Happening<'_>, entries: &[EgressEntry], before: usize, context: &str) {
        let network = &self.world.network;
        assert!(happening.strictest != Privacy::LocalOnly || entries.len() == before, "{context}");
        assert_eq!((entries.len() as u64, self.world.tiers.ledger().total_bytes()), (network.calls.get(), network.bytes.get()));
        let retries = self.world.tiers.config().cloud.as_ref().map_or(0, |cloud| cloud.retry.retries() as usize);
        let has_new_token = happening.served.iter().any(|served| served.codes == ["cloud-refused"]);
        assert!(entries.len() - before <= 1 + retries.min(5) + usize::from(has_new_token), "{context}");
        for (at, entry) in entries.iter().enumerate() {
            assert_eq!((entry.id, entry.bytes), (at as u64 + 1, network.bodies.borrow()[at].len() as u64), "{context}");
        }
        for (at, (entry, served)) in entries[before..].iter().zip(happening.served).enumerate() {
            let expected = if served.answers { EgressOutcome::Answered } else { EgressOutcome::Unknown };
            // An abort, or the end of all time, may come before the server's answer.
            assert!(
                entry.outcome == expected || entry.outcome == EgressOutcome::Unknown && before + at + 1 == entries.len(),
                "{context}"
            );
            assert_eq!((entry.attempt as usize, entry.request), (at + 1, entries[before].request), "{context}");
        }
    }

    /// Whatever the application allows later: what local-only requests said, and what answered them, never leaves.
    fn check_bodies(&self, messages: &[Message], before: usize, has_seed: bool, context: &str) {
        for body in &self.world.network.bodies.borrow()[before..] {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let sent: Vec<&str> =
                body["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect();
            for text in &sent {
                let upper = text.to_uppercase().replace('\n', " ");
                assert!(self.kept.must.iter().all(|token| !upper.contains(&token.to_uppercase())), "{text:?}: {context}");
            }
            let may_leave = messages.iter().filter(|message| !Kept::holds(&self.kept.must, message)).map(text_of);
            assert!(may_leave.clone().any(|text| sent.last() == Some(&text)), "{context}");
            assert!(sent.iter().all(|sent| may_leave.clone().any(|text| text == *sent)), "{context}");
            assert_eq!(body.get("seed").is_some(), has_seed, "{context}");
        }
    }
}

#[test]
fn a_hundred_thousand_requests_keep_every_promise() {
    let mut tally = BTreeMap::new();
    for seed in 0..REQUESTS / REQUESTS_OF_A_WORLD {
        let mut world = RandomWorld::new(seed);
        for number in 0..REQUESTS_OF_A_WORLD {
            *tally.entry(world.request(number)).or_insert(0_u64) += 1;
        }
    }
    println!("{REQUESTS} requests: {tally:?}");
    assert_eq!(tally.values().sum::<u64>(), REQUESTS);
    for name in ["local", "cloud", "aborted", "local-only", "cloud-http", "cloud-timeout", "cloud-truncated", "cloud-refused"] {
        assert!(tally.get(name).is_some_and(|count| *count > 100), "{name} hardly ever happened: {tally:?}");
    }
}
