//! What OpenAI-compatible servers do beside the letter of the protocol, each from the request to its answer.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, FinishReason, GenerateOptions, Tier};
use eyas_tier::{Clock, TierCompletion, TierRequest};
use lab::{Act, CLOUD, End, Phase, World, delta, finish, good, user};
use serde_json::json;

const GONE: Option<(Phase, ErrorKind)> = Some((Phase::Load, ErrorKind::ModelNotFound));

fn event(choice: &serde_json::Value) -> Vec<u8> {
    format!("data: {}\n\n", json!({ "choices": [choice] })).into_bytes()
}

fn stream(events: &[Vec<u8>], end: End) -> Act {
    Act::Stream(events.iter().map(|event| (1.0, event.clone())).collect(), end)
}

/// Asks a world with this server and configuration; also what was shown at the end.
fn ask(config: &str, acts: Vec<Act>, fails: Option<(Phase, ErrorKind)>) -> (World, String, eyas_core::Result<TierCompletion>) {
    let world = World::new(&format!("{{{config}{CLOUD}}}"));
    world.plays(acts);
    let mut device = world.device(&["local ", "text"]);
    device.fails = fails;
    let request = TierRequest { messages: Some(user("hi")), ..TierRequest::default() };
    let (shown, _, end) = world.run(world.tiers.start(request, device.side(), CancelToken::new()));
    (world, shown, end)
}

#[test]
fn an_answer_is_complete_with_its_finish_reason_whatever_follows() {
    let last = event(&json!({ "index": 0, "delta": {}, "finish_reason": "length" }));
    let usage = b"data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n".to_vec();
    let null_usage = b"data: {\"choices\":null,\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n".to_vec();
    for end in [End::Close, End::Reset, End::Stall] {
        for (behind, tokens) in [(vec![], 0), (vec![usage.clone()], 3), (vec![null_usage.clone()], 3)] {
            let events = [vec![delta("whole"), last.clone()], behind].concat();
            let (world, shown, completion) = ask("", vec![stream(&events, end)], GONE);
            let completion = completion.unwrap();
            assert_eq!((shown.as_str(), completion.finish_reason), ("whole", FinishReason::Length), "{end:?}");
            assert_eq!((completion.usage.completion_tokens, world.network.calls.get()), (tokens, 1), "{end:?}");
            assert!(world.clock.now_ms() <= 1100.0, "{end:?}: {} ms", world.clock.now_ms());
        }
    }
    // Nor does a server that sends comments for ever keep the answer.
    let drip = (0..100_000).map(|_| (900.0, b": ping\n\n".to_vec()));
    let pieces = [(1.0, delta("whole")), (1.0, last)].into_iter().chain(drip).collect();
    let (world, shown, completion) = ask("", vec![Act::Stream(pieces, End::Stall)], GONE);
    assert!(completion.is_ok() && shown == "whole" && world.clock.now_ms() <= 2000.0, "{completion:?}");
}

#[test]
fn a_refusal_is_no_empty_answer() {
    let stop = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    let part = |text: &str| event(&json!({ "index": 0, "delta": { "content": null, "refusal": text } }));
    let whole = |message: serde_json::Value, reason: &str| {
        Act::Body("application/json", json!({ "choices": [{ "message": message, "finish_reason": reason }] }).to_string())
    };
    for (name, act, words) in [
        (
            "filter",
            stream(&[event(&json!({ "index": 0, "delta": {}, "finish_reason": "content_filter" }))], End::Close),
            "content_filter",
        ),
        ("delta", stream(&[part("I can't "), part("help."), event(&stop)], End::Close), "I can't help."),
        ("message", whole(json!({ "content": null, "refusal": "I can't help." }), "stop"), "I can't help."),
        ("parts", whole(json!({ "content": [{ "type": "refusal", "refusal": "I can't." }] }), "stop"), "I can't."),
        ("whole filter", whole(json!({ "content": "" }), "content_filter"), "content_filter"),
    ] {
        let (world, shown, end) = ask("", vec![act.clone(), good(&["second"])], GONE);
        let error = end.unwrap_err();
        assert!(
            error.code() == "cloud-refused" && error.detail().contains("declined") && error.detail().contains(words),
            "{name}: {error}"
        );
        assert_eq!((shown.as_str(), world.network.calls.get()), ("", 1), "{name}: a refusal is not asked again");
        // A device that can answer does.
        let (_, shown, end) = ask(r#""privacy":"prefer-cloud","#, vec![act], None);
        let completion = end.unwrap();
        assert_eq!((completion.provenance.tier, shown.as_str()), (Tier::Local, "local text"), "{name}");
        assert!(completion.provenance.detail.contains("declined"), "{name}: {}", completion.provenance.detail);
    }
    // Text and then a refusal is no complete answer.
    let (_, _, end) = ask("", vec![stream(&[delta("Well, "), part("no."), event(&stop)], End::Close)], GONE);
    assert_eq!(end.unwrap_err().code(), "cloud-refused");
}

#[test]
fn content_may_be_a_list_of_parts() {
    let parts = json!([{ "type": "text", "text": "Oslo" }, { "type": "reasoning", "text": "hidden" }, { "type": "output_text", "text": "!" }]);
    let events = [
        event(&json!({ "delta": { "content": parts } })),
        event(&json!({ "delta": { "content": [] }, "finish_reason": "stop" })),
    ];
    let (_, shown, end) = ask("", vec![stream(&events, End::Close)], GONE);
    assert_eq!((shown.as_str(), end.unwrap().text.as_str()), ("Oslo!", "Oslo!"));
    let picture = event(&json!({ "delta": { "content": [{ "type": "image_url", "image_url": {} }] } }));
    let error = ask("", vec![stream(&[picture], End::Close)], GONE).2.unwrap_err();
    assert!(error.code() == "cloud-refused" && error.detail().contains("image_url"), "{error}");
}

#[test]
fn an_object_and_a_stream_are_told_apart_by_themselves() {
    let whole = json!({ "model": "m", "choices": [{ "message": { "content": [{ "type": "text", "text": "hi" }] }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 2 } });
    let events = String::from_utf8([delta("hi"), finish()].concat()).unwrap();
    for kind in ["application/json", "text/event-stream; charset=utf-8", "text/plain", ""] {
        for body in [whole.to_string(), format!(" \n{whole}\n"), events.clone(), format!("\n: ping\n{events}")] {
            let (_, shown, end) = ask("", vec![Act::Body(kind, body.clone())], GONE);
            let completion = end.unwrap();
            assert_eq!((shown.as_str(), completion.finish_reason), ("hi", FinishReason::Stop), "{kind:?} {body}");
            assert!(completion.usage.completion_tokens > 0, "{kind:?} {body}");
        }
    }
    for (kind, body, code) in [
        ("text/html", "<html>".to_owned(), "cloud-refused"),
        ("application/json", r#"{"error":{"message":"busy"}}"#.to_owned(), "cloud-refused"),
        ("application/json", "{\"choices\":[".to_owned(), "cloud-refused"),
        ("application/json", String::new(), "cloud-truncated"),
        ("application/json", r#"{"choices":[{"message":{"content":"hi"}}]}"#.to_owned(), "cloud-truncated"),
    ] {
        let acts = vec![Act::Body(kind, body.clone()); 3];
        assert_eq!(ask("", acts, GONE).2.unwrap_err().code(), code, "{kind} {body}");
    }
}

#[test]
fn an_empty_answer_wipes_nothing() {
    let empty = || stream(&[event(&json!({ "delta": {}, "finish_reason": "stop" }))], End::Close);
    let calibration = r#""calibration":{"thresholds":[{"model":"model","quantize":"q8","task":"default","signal":"meanLogprob",
        "threshold":1.0,"alpha":0.1,"examples":100,"baseRisk":0.2,"deferralRate":0.3}]},"#;
    for mid_stream in ["hold", "replace", "append"] {
        let mode = format!(r#""midStream":"{mid_stream}","#);
        // A whole local answer that was doubted stays.
        let (_, shown, end) = ask(&format!("{mode}{calibration}"), vec![empty()], None);
        let completion = end.unwrap();
        assert_eq!(
            (shown.as_str(), completion.text.as_str(), completion.provenance.tier),
            ("local text", "local text", Tier::Local)
        );
        assert!(completion.provenance.detail.contains("no text") && completion.provenance.attempts == 2, "{completion:?}");
        // Half of one is no answer, and is not withdrawn for nothing.
        let (_, shown, end) = ask(&mode, vec![empty()], Some((Phase::Decode, ErrorKind::DeviceLost)));
        if mid_stream == "hold" {
            assert_eq!((shown.as_str(), end.unwrap().text.as_str()), ("", ""), "it is what the server said");
        } else {
            assert_eq!((shown.as_str(), end.unwrap_err().code()), ("local ", "device-lost"), "{mid_stream}");
        }
    }
    // A device that was not asked yet is.
    let (_, shown, _) = ask(r#""privacy":"prefer-cloud","#, vec![empty()], None);
    assert_eq!(shown, "local text");
}

#[test]
fn a_token_is_asked_for_once_and_refreshed_once() {
    let status = |code| Act::Status(code, Vec::new());
    for (acts, asked, used, code) in [
        (vec![status(500), status(500)], vec![false], vec!["token-0"; 3], "good"),
        (
            vec![status(401), status(500), status(500)],
            vec![false, true],
            vec!["token-0", "token-1", "token-1", "token-1"],
            "good",
        ),
        (
            vec![status(500), status(401), status(500)],
            vec![false, true],
            vec!["token-0", "token-0", "token-1", "token-1"],
            "good",
        ),
        (vec![status(401), status(500), status(401)], vec![false, true], vec!["token-0", "token-1", "token-1"], "cloud-refused"),
        (vec![status(401), status(401)], vec![false, true], vec!["token-0", "token-1"], "cloud-refused"),
    ] {
        let context = format!("{acts:?}");
        let (world, _, end) = ask("", acts.into_iter().chain([good(&["good"])]).collect(), GONE);
        let found = end.map_or_else(|error| error.code().to_owned(), |completion| completion.text);
        assert_eq!((found.as_str(), &*world.tokens.0.borrow()), (code, &asked), "{context}");
        let sent: Vec<_> = world.network.tokens.borrow().iter().flatten().cloned().collect();
        assert_eq!(sent, used, "{context}");
    }
}

#[test]
fn a_seed_that_nobody_asked_for_is_not_sent() {
    for (own_seed, sent) in [(true, None), (false, Some(7))] {
        for (privacy, tier) in [("prefer-cloud", Tier::Cloud), ("local-only", Tier::Local)] {
            let world = World::new(&format!(r#"{{"privacy":"{privacy}",{CLOUD}}}"#));
            world.plays([good(&["cloud"])]);
            let options = GenerateOptions { temperature: 1.0, seed: Some(7), ..GenerateOptions::default() };
            let request = TierRequest { messages: Some(user("hi")), options, own_seed, ..TierRequest::default() };
            let completion = world.run(world.tiers.start(request, world.device(&["a"]).side(), CancelToken::new())).2.unwrap();
            assert_eq!(completion.provenance.tier, tier);
            if tier == Tier::Cloud {
                let body: serde_json::Value = serde_json::from_str(&world.network.bodies.borrow()[0]).unwrap();
                assert_eq!((body["seed"].as_u64(), completion.seed), (sent, sent));
            } else {
                assert_eq!(completion.seed, Some(1), "the device tells the seed that it drew with");
            }
        }
    }
}
