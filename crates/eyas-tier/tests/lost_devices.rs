//! Requests whose device was lost, and which begin anew.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, Tier};
use eyas_tier::{Earlier, Reason, TierCompletion, TierRequest};
use lab::{Act, CLOUD, FakeDevice, Phase, World, good, user};

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
