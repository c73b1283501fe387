//! Requests whose device was lost, and which begin anew.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, Tier};
use eyas_tier::{Earlier, Reason, TierCompletion, TierRequest};
use lab::{Act, CLOUD, End, FakeDevice, Phase, World, good, user};

const LOST: ErrorKind = ErrorKind::DeviceLost;

fn world(mid_stream: &str) -> World {
    World::new(&format!(r#"{{"midStream":"{mid_stream}",{CLOUD}}}"#))
}

fn again(earlier: Earlier) -> TierRequest {
    TierRequest { messages: Some(user("hi")), earlier, ..TierRequest::default() }
}

fn device(world: &World, fails: Option<(Phase, ErrorKind)>) -> FakeDevice {
    FakeDevice { fails, ..world.device(&["local ", "text"]) }
}

fn run(world: &World, earlier: Earlier, fails: Option<(Phase, ErrorKind)>) -> (String, usize, eyas_core::Result<TierCompletion>) {
    world.run(world.tiers.start(again(earlier), device(world, fails).side(), CancelToken::new()))
}

/// What was shown stands in the application already; a second run begins with nothing shown of its own.
#[test]
fn a_device_given_up_behind_shown_text_goes_on_in_the_cloud() {
    for phase in Phase::ALL {
        for (mid_stream, text) in [("replace", "cloud"), ("append", "local t‖cloud")] {
            let world = world(mid_stream);
            world.plays([good(&["cloud"])]);
            let earlier = Earlier { shown_text: "local t".into(), runs: 1, ..Earlier::default() };
            let (_, switches, end) = run(&world, earlier, Some((phase, LOST)));
            let completion = end.unwrap();
            assert_eq!((completion.text, switches), (text.replace('‖', ""), 1), "{phase:?} {mid_stream}");
            let lengths: Vec<_> = completion.provenance.parts.iter().map(|part| (part.tier, part.length)).collect();
            let expected = if mid_stream == "append" { vec![(Tier::Local, 7), (Tier::Cloud, 5)] } else { Vec::new() };
            assert_eq!(lengths, expected);
            let provenance = completion.provenance;
            let runs = if phase == Phase::Load { 1 } else { 2 };
            assert_eq!((provenance.reason, provenance.attempts), (Reason::CanNot, runs + 1), "{phase:?} {mid_stream}");
        }
    }
}

#[test]
fn thoughts_that_were_shown_are_withdrawn_too_and_a_number_is_kept() {
    let world = world("replace");
    world.plays([good(&["cloud"])]);
    let earlier = Earlier { shown_reasoning: "hm".into(), runs: 1, ..Earlier::default() };
    let request = TierRequest { number: Some(41), ..again(earlier) };
    let answer = world.tiers.start(request, device(&world, Some((Phase::Load, LOST))).side(), CancelToken::new());
    let (shown, switches, end) = world.run(answer);
    assert_eq!((shown.as_str(), switches, end.unwrap().provenance.request), ("cloud", 1, 41));
    assert_eq!(world.tiers.ledger().entries()[0].request, 41);
    assert_eq!(run(&world, Earlier::default(), None).2.unwrap().provenance.request, 42);
}

#[test]
fn a_device_that_came_back_says_what_was_shown_again() {
    for mid_stream in ["hold", "replace", "append"] {
        let earlier = Earlier { shown_text: "local t".into(), runs: 1, ..Earlier::default() };
        let (shown, switches, end) = run(&world(mid_stream), earlier, None);
        let completion = end.unwrap();
        assert_eq!((shown.as_str(), completion.text.as_str(), switches), ("local text", "local text", 0), "{mid_stream}");
        assert_eq!((completion.provenance.attempts, completion.provenance.bytes_sent), (2, 0));
    }
}

/// As the page does it: a device that is lost together with its cloud is loaded again, and the request begins anew.
#[test]
fn the_cloud_of_a_device_that_is_lost_again_and_again_is_asked_twice() {
    for mid_stream in ["hold", "replace", "append"] {
        let world = world(mid_stream);
        let mut earlier = Earlier::default();
        for tries in 1..=6_u32 {
            world.plays(vec![Act::Refuse(1.0); 3]);
            let (_, _, end) = run(&world, earlier.clone(), Some((Phase::Decode, LOST)));
            assert_eq!(end.unwrap_err().code(), "device-lost");
            let rounds = tries.min(2);
            assert_eq!(world.network.calls.get(), 3 * u64::from(rounds), "{mid_stream}, try {tries}");
            let (cloud_attempts, bytes_sent) = (3 * rounds, world.network.bytes.get());
            earlier = Earlier { cloud_rounds: rounds, cloud_attempts, bytes_sent, runs: tries, ..Earlier::default() };
        }
        let (_, _, end) = run(&world, earlier, None);
        let provenance = end.unwrap().provenance;
        assert_eq!((provenance.tier, provenance.reason), (Tier::Local, Reason::CanNot));
        assert!(provenance.detail.contains("asked 2 times"), "{}", provenance.detail);
        assert_eq!((provenance.attempts, provenance.bytes_sent), (7 + 6, world.network.bytes.get()));
        let attempts: Vec<_> = world.tiers.ledger().entries().iter().map(|entry| entry.attempt).collect();
        assert_eq!(attempts, [1, 2, 3, 4, 5, 6], "attempts of one request are numbered through");
    }
}

/// As the page does it: whether a token was refused before is in the ledger.
#[test]
fn a_token_is_refreshed_once_a_request_however_often_its_device_is_lost() {
    let world = world("hold");
    let refused = || Act::Status(401, Vec::new());
    world.plays([refused(), Act::Refuse(1.0), Act::Refuse(1.0), Act::Refuse(1.0)]);
    assert!(run(&world, Earlier::default(), Some((Phase::Decode, LOST))).2.is_err());
    assert_eq!(*world.tokens.0.borrow(), [false, true]);
    let entries = world.tiers.ledger().entries();
    assert_eq!(entries.iter().map(|entry| entry.status).collect::<Vec<_>>(), [Some(401), None, None, None]);
    let token_refused = entries.iter().any(|entry| entry.status == Some(401));
    let earlier = Earlier { cloud_rounds: 1, cloud_attempts: 4, token_refused, runs: 1, ..Earlier::default() };
    world.plays([refused(), good(&["cloud"])]);
    let error = run(&world, earlier.clone(), Some((Phase::Decode, LOST))).2.unwrap_err();
    assert!(error.code() == "device-lost" && error.detail().contains("status 401"), "{error}");
    assert_eq!(*world.tokens.0.borrow(), [false, true, false], "a new worker asks for the token it lacks, and for no newer one");
    world.plays([good(&["cloud"])]);
    let (shown, _, end) = run(&world, earlier, Some((Phase::Load, LOST)));
    assert_eq!((shown.as_str(), end.unwrap().provenance.tier), ("cloud", Tier::Cloud));
}

#[test]
fn what_was_written_before_an_answer_broke_off_is_told_with_its_price() {
    let prices = r#""prices":{"promptPerMillion":1000000,"completionPerMillion":2000000}"#;
    let cloud =
        format!(r#""cloud":{{"endpoint":"https://models.example/v1","model":"big","retry":{{"maxRetries":0}},{prices}}}"#);
    let usage = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n".to_vec();
    let words = |more: Vec<u8>, end| Act::Stream(vec![(1.0, lab::delta("one ")), (1.0, lab::delta("two")), (1.0, more)], end);
    let filtered =
        br#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}"#.iter().chain(b"\n\n").copied();
    for (name, act, counted) in [
        ("reset", words(Vec::new(), End::Reset), None),
        ("stall", words(Vec::new(), End::Stall), None),
        ("counted", words(usage, End::Reset), Some((7, 3))),
        ("filtered", words(filtered.collect(), End::Close), None),
    ] {
        let world = World::new(&format!("{{{cloud}}}"));
        world.plays([act]);
        assert!(run(&world, Earlier::default(), Some((Phase::Load, LOST))).2.is_err(), "{name}");
        let [entry] = &world.tiers.ledger().entries()[..] else { panic!("{name}: one request") };
        let broken_off = entry.broken_off.unwrap();
        let estimate = ((entry.bytes as usize).div_ceil(4), 2);
        let tokens = (broken_off.prompt_tokens, broken_off.completion_tokens);
        assert_eq!((tokens, broken_off.is_counted), (counted.unwrap_or(estimate), counted.is_some()), "{name}");
        assert_eq!(broken_off.cost, Some((tokens.0 + 2 * tokens.1) as f64), "{name}");
    }
    // An answer that is used is told by its completion; of one that said nothing there is nothing to tell.
    for act in [good(&["cloud"]), Act::Stream(Vec::new(), End::Reset), Act::Status(500, Vec::new())] {
        let world = World::new(&format!("{{{cloud}}}"));
        world.plays([act]);
        let _ = run(&world, Earlier::default(), Some((Phase::Load, LOST)));
        assert!(world.tiers.ledger().entries().iter().all(|entry| entry.broken_off.is_none()));
    }
    // Nor is one that nobody waits for any more.
    let world = World::new(&format!("{{{cloud}}}"));
    world.plays([words(Vec::new(), End::Stall)]);
    let mut answer =
        world.tiers.start(again(Earlier::default()), device(&world, Some((Phase::Load, LOST))).side(), CancelToken::new());
    world
        .clock
        .0
        .run(async { while !matches!(answer.next().await.unwrap(), eyas_tier::TierEvent::Delta { text } if text == "two") {} });
    drop(answer);
    assert_eq!(world.tiers.ledger().entries()[0].broken_off.unwrap().completion_tokens, 2);
}
