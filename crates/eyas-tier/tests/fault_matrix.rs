//! Every failure of the device × every privacy × every phase × every way to show text, and every failure of the cloud.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, GenerateOptions, Message, Role, Tier};
use eyas_tier::{Calibrated, Calibration, Clock, EgressOutcome, Privacy, Reason, TierCompletion, TierRequest};
use lab::{Act, CLOUD, End, Phase, World, delta, finish, good, user};

fn request(text: &str) -> TierRequest {
    TierRequest { messages: Some(user(text)), ..TierRequest::default() }
}

/// A request that the device answers confidently, if `fails` lets it.
fn ask(
    world: &World,
    fails: Option<(Phase, ErrorKind)>,
    request: TierRequest,
) -> (String, usize, eyas_core::Result<TierCompletion>) {
    let mut device = world.device(&["local ", "text"]);
    device.fails = fails;
    world.run(world.tiers.start(request, device.side(), CancelToken::new()))
}

#[test]
fn whatever_fails_on_the_device_the_privacy_decides_who_answers() {
    let mut cases = 0;
    for kind in ErrorKind::ALL.iter().copied() {
        for privacy in Privacy::ALL {
            for phase in Phase::ALL {
                for mid_stream in ["hold", "replace", "append"] {
                    let world = World::new(&format!(r#"{{"privacy":"{privacy}","midStream":"{mid_stream}",{CLOUD}}}"#));
                    world.plays([good(&["cloud"])]);
                    let (shown, switches, end) = ask(&world, Some((phase, kind)), request("hi"));
                    let context = format!("{kind} {privacy} {phase:?} {mid_stream}: {end:?}");
                    cases += 1;
                    let sent = world.network.calls.get();
                    match privacy {
                        Privacy::LocalOnly => {
                            assert_eq!(sent, 0, "{context}");
                            let code = end.unwrap_err();
                            let expected = if phase == Phase::Load { "local-only" } else { kind.code() };
                            assert_eq!(code.code(), expected, "{context}");
                        }
                        Privacy::PreferCloud => {
                            let completion = end.unwrap();
                            assert_eq!(
                                (completion.provenance.tier, completion.provenance.reason, sent),
                                (Tier::Cloud, Reason::MayNot, 1)
                            );
                            assert_eq!((shown.as_str(), switches), ("cloud", 0), "{context}");
                        }
                        Privacy::PreferLocal if matches!(kind, ErrorKind::BadInput | ErrorKind::Aborted) => {
                            assert_eq!((end.unwrap_err().kind(), sent), (kind, 0), "{context}");
                        }
                        Privacy::PreferLocal => {
                            let completion = end.unwrap();
                            let provenance = &completion.provenance;
                            assert_eq!((provenance.tier, provenance.reason, sent), (Tier::Cloud, Reason::CanNot, 1), "{context}");
                            assert!(provenance.detail.contains(kind.code()), "{context}");
                            assert_eq!(provenance.local_error, Some(kind.code()), "{context}");
                            assert_eq!(provenance.bytes_sent, world.network.bytes.get(), "{context}");
                            let is_late = phase == Phase::Decode && mid_stream != "hold";
                            assert_eq!(switches, usize::from(is_late), "{context}");
                            let expected = if is_late && mid_stream == "append" { "local cloud" } else { "cloud" };
                            assert_eq!((shown.as_str(), completion.text.as_str()), (expected, expected), "{context}");
                            assert_eq!(provenance.parts.len(), if expected == "cloud" { 0 } else { 2 }, "{context}");
                        }
                    }
                }
            }
        }
    }
    println!("{cases} cases");
}

/// In a tunnel a device that was lost must not look like a cloud that failed: whoever can load the model again does so at its code.
#[test]
fn a_lost_device_whose_cloud_fails_too_is_a_lost_device() {
    for (kind, expected) in [(ErrorKind::DeviceLost, "device-lost"), (ErrorKind::OutOfMemory, "cloud-http")] {
        for mid_stream in ["hold", "replace", "append"] {
            let world = World::new(&format!(r#"{{"privacy":"prefer-local","midStream":"{mid_stream}",{CLOUD}}}"#));
            world.plays([Act::Status(404, Vec::new())]);
            let (_, _, end) = ask(&world, Some((Phase::Decode, kind)), request("hi"));
            let error = end.unwrap_err();
            assert_eq!(error.code(), expected, "{mid_stream}: {error}");
            assert!(error.to_string().contains("404") && error.to_string().contains("the cloud failed"), "{error}");
        }
    }
}

#[test]
fn each_failure_of_the_cloud_recovers_or_has_its_code() {
    let words = || good(&["good ", "words"]);
    let cut = |end| Act::Stream(vec![(1.0, delta("half"))], end);
    let silent = |end| Act::Stream(vec![(1.0, b": ping\n\n".to_vec())], end);
    let garbage = Act::Stream(vec![(1.0, b"data: <html>\n\n".to_vec())], End::Close);
    let error = Act::Stream(vec![(1.0, b"data: {\"error\":{\"message\":\"busy\"}}\n\n".to_vec())], End::Close);
    let huge = Act::Stream((0..6).map(|_| (1.0, vec![b'x'; 1 << 20])).collect(), End::Close);
    let drip = Act::Stream((0..1000).map(|_| (900.0, b": drip\n".to_vec())).collect(), End::Close);
    let slow = Act::Stream(
        vec![(900.0, delta("slow ")), (900.0, delta("but ")), (900.0, delta("steady")), (900.0, finish())],
        End::Stall,
    );
    let status = |code, headers: &[(&'static str, &'static str)]| Act::Status(code, headers.to_vec());
    // Acts, the code or the text, attempts.
    let cases: Vec<(&str, Vec<Act>, &str, u64)> = vec![
        ("429 with seconds", vec![status(429, &[("retry-after", "3")]), words()], "good words", 2),
        ("429 with milliseconds", vec![status(429, &[("retry-after-ms", "70")]), words()], "good words", 2),
        ("429 with a date", vec![status(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:41 GMT")]), words()], "good words", 2),
        ("429 with an hour", vec![status(429, &[("retry-after", "3600")]), words()], "cloud-http", 1),
        ("500 then good", vec![status(500, &[]), words()], "good words", 2),
        ("500 for ever", vec![status(500, &[]); 9], "cloud-http", 3),
        ("500, do not retry", vec![status(500, &[("x-should-retry", "false")]), words()], "cloud-http", 1),
        ("400, do retry", vec![status(400, &[("x-should-retry", "true")]), words()], "good words", 2),
        ("404", vec![status(404, &[]), words()], "cloud-http", 1),
        ("401 then good", vec![status(401, &[]), words()], "good words", 2),
        ("401 twice", vec![status(401, &[]), status(401, &[]), words()], "cloud-refused", 2),
        ("403", vec![status(403, &[]), words()], "cloud-refused", 1),
        ("offline then good", vec![Act::Refuse(5.0), words()], "good words", 2),
        ("offline", vec![Act::Refuse(5.0); 9], "cloud-http", 3),
        ("no answer", vec![Act::Hang, Act::Hang, Act::Hang], "cloud-timeout", 3),
        ("reset before text", vec![silent(End::Reset), words()], "good words", 2),
        ("stall before text", vec![silent(End::Stall), words()], "good words", 2),
        ("close before text", vec![silent(End::Close); 3], "cloud-truncated", 3),
        ("reset in mid-stream", vec![cut(End::Reset), words()], "cloud-truncated", 1),
        ("close in mid-stream", vec![cut(End::Close), words()], "cloud-truncated", 1),
        ("stall in mid-stream", vec![cut(End::Stall), words()], "cloud-timeout", 1),
        ("reset after the end", vec![Act::Stream(vec![(1.0, delta("whole")), (1.0, finish())], End::Reset)], "whole", 1),
        ("garbage", vec![garbage, words()], "cloud-refused", 1),
        ("error in the stream", vec![error, words()], "cloud-refused", 1),
        ("huge line", vec![huge, words()], "cloud-refused", 1),
        ("endless comments", vec![drip], "cloud-timeout", 1),
        ("slow but steady", vec![slow], "slow but steady", 1),
    ];
    for (name, acts, expected, attempts) in cases {
        let config = r#"{"privacy":"prefer-cloud","cloud":{"endpoint":"https://models.example/v1","model":"big",
            "retry":{"idleTimeoutMs":1000,"totalTimeoutMs":15000}}}"#;
        let world = World::new(config);
        world.plays(acts);
        let (shown, _, end) = ask(&world, Some((Phase::Load, ErrorKind::ModelNotFound)), request("hi"));
        let found = match &end {
            Ok(completion) => completion.text.clone(),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!((found.as_str(), world.network.calls.get()), (expected, attempts), "{name}: {end:?}");
        assert!(end.is_err() || shown == expected, "{name}");
        let entries = world.tiers.ledger().entries();
        assert_eq!(entries.len() as u64, attempts, "{name}");
        assert!(
            entries.iter().all(|entry| entry.outcome != EgressOutcome::Sent && entry.origin == "https://models.example"),
            "{name}"
        );
        assert!(world.clock.now_ms() <= 16_100.0, "{name} took {} ms", world.clock.now_ms());
        // Where the device has a model, the very same failures end in its answer, unless text of the cloud was shown.
        let tokens = world.network.tokens.borrow().clone();
        assert_eq!(tokens[0].as_deref(), Some("token-0"), "{name}");
        if name.starts_with("401") {
            assert_eq!(tokens[1].as_deref(), Some("token-1"));
        }
    }
}

#[test]
fn a_cloud_that_fails_leaves_the_device() {
    let world = World::new(&format!(r#"{{"privacy":"prefer-cloud",{CLOUD}}}"#));
    world.plays([Act::Status(404, Vec::new())]);
    let (shown, _, end) = ask(&world, None, request("hi"));
    let completion = end.unwrap();
    assert_eq!(
        (shown.as_str(), completion.provenance.tier, completion.provenance.reason),
        ("local text", Tier::Local, Reason::CanNot)
    );
    assert!(completion.provenance.detail.contains("404") && completion.provenance.attempts == 2);
    assert_eq!(completion.provenance.bytes_sent, world.network.bytes.get());
}

#[test]
fn confidence_escalates_only_where_it_is_calibrated() {
    let calibration = r#""calibration":{"thresholds":[{"model":"model","quantize":"q8","task":"intents","signal":"meanLogprob",
        "threshold":-1.0,"alpha":0.1,"examples":100,"baseRisk":0.2,"deferralRate":0.3}]}"#;
    for (task, logprob, cloud_works, tier, reason, calibrated) in [
        (Some("intents"), -0.5, true, Tier::Local, Reason::MayNot, Calibrated::Calibrated),
        (Some("intents"), -2.0, true, Tier::Cloud, Reason::ShouldNot, Calibrated::Calibrated),
        (Some("intents"), -2.0, false, Tier::Local, Reason::CanNot, Calibrated::Calibrated),
        (Some("other"), -2.0, true, Tier::Local, Reason::MayNot, Calibrated::Uncalibrated),
        (None, -2.0, true, Tier::Local, Reason::MayNot, Calibrated::Uncalibrated),
    ] {
        let world = World::new(&format!("{{{CLOUD},{calibration}}}"));
        world.plays([if cloud_works { good(&["cloud"]) } else { Act::Status(404, Vec::new()) }]);
        let mut device = world.device(&["unsure"]);
        device.logprob = logprob;
        let request = TierRequest { task: task.map(str::to_owned), ..request("hi") };
        let (shown, _, end) = world.run(world.tiers.start(request, device.side(), CancelToken::new()));
        let completion = end.unwrap();
        let provenance = &completion.provenance;
        assert_eq!(
            (provenance.tier, provenance.reason, provenance.calibration),
            (tier, reason, calibrated),
            "{task:?} {logprob}"
        );
        assert_eq!(shown, if tier == Tier::Cloud { "cloud" } else { "unsure" });
        assert_eq!(provenance.signals.is_some(), calibrated == Calibrated::Calibrated);
        if calibrated == Calibrated::Calibrated {
            assert!((provenance.confidence.unwrap() - f64::from(logprob)).abs() < 1e-6 && provenance.threshold == Some(-1.0));
        }
    }
}

#[test]
fn structure_and_grounding_are_signals_where_the_answer_should_be_json() {
    let threshold = |signal: &str| {
        format!(
            r#""calibration":{{"thresholds":[{{"model":"model","quantize":"q8","task":"intents","signal":"{signal}",
            "threshold":0.5,"alpha":0.1,"examples":100,"baseRisk":0.2,"deferralRate":0.3}}]}}"#
        )
    };
    // Configuration, task, whether the request says so, the words, and what comes of them: structure, grounding, tier.
    let none = r#""midStream":"hold""#.to_owned();
    for (config, task, expects_json, words, structure, grounding, tier) in [
        (&none, "extraction", false, r#"{"city":"Oslo"}"#, Some(1.0), Some(0.5), Tier::Local),
        (&none, "extraction", false, r#"{"city":"Oslo""#, Some(0.0), Some(0.5), Tier::Local),
        (&none, "chat", true, "Rain in Oslo", Some(0.0), Some(1.0), Tier::Local),
        (&none, "chat", false, "Rain in Oslo", None, Some(1.0), Tier::Local),
        (&threshold("structure"), "intents", false, r#"{"a":1}"#, Some(1.0), Some(0.0), Tier::Local),
        (&threshold("structure"), "intents", false, r#"{"a":1"#, Some(0.0), Some(0.0), Tier::Cloud),
        (&threshold("grounding"), "intents", false, "rain in Bergen", None, Some(2.0 / 3.0), Tier::Local),
        (&threshold("grounding"), "intents", false, "snow on Bergen", None, Some(0.0), Tier::Cloud),
    ] {
        let world = World::new(&format!("{{{CLOUD},{config}}}"));
        world.plays([good(&["cloud"])]);
        let task = Some(task.to_owned());
        let request = TierRequest { task, expects_json, signals: true, ..request("will it rain in oslo") };
        let (_, _, end) = world.run(world.tiers.start(request, world.device(&[words]).side(), CancelToken::new()));
        let provenance = end.unwrap().provenance;
        let signals = provenance.signals.unwrap();
        assert_eq!((signals.structure, signals.grounding, provenance.tier), (structure, grounding, tier), "{words}");
    }
}

#[test]
fn a_calibration_that_came_with_the_model_counts_where_the_application_has_none() {
    let threshold = |model: &str, threshold: f64| {
        let text = format!(
            r#"{{"thresholds":[{{"model":"{model}","quantize":"q8","task":"default","signal":"meanLogprob",
            "threshold":{threshold:?},"alpha":0.1,"examples":100,"baseRisk":0.2,"deferralRate":0.3}}]}}"#
        );
        serde_json::from_str::<Calibration>(&text).unwrap()
    };
    let own = |calibration: &Calibration| format!(r#","calibration":{}"#, serde_json::to_string(calibration).unwrap());
    for (application, offered, counts) in [
        (None, threshold("model", -3.0), Some(-3.0)),
        (Some(threshold("model", -4.0)), threshold("model", -3.0), Some(-4.0)),
        // One of another model or task is none, and the application's own silence is its word too.
        (None, threshold("other", -3.0), None),
        (Some(Calibration::default()), threshold("model", -3.0), None),
    ] {
        let world = World::new(&format!("{{{CLOUD}{}}}", application.as_ref().map(own).unwrap_or_default()));
        world.tiers.offer_calibration(offered);
        let device = world.device(&["sure"]);
        let (_, _, end) = world.run(world.tiers.start(request("hi"), device.side(), CancelToken::new()));
        let provenance = end.unwrap().provenance;
        assert_eq!((provenance.tier, provenance.threshold), (Tier::Local, counts));
        assert_eq!(provenance.calibration == Calibrated::Calibrated, counts.is_some());
    }
}

#[test]
fn a_slow_device_should_not_answer() {
    let world = World::new(&format!(r#"{{{CLOUD},"budget":{{"firstTokenMs":100}}}}"#));
    world.plays([good(&["cloud"]), good(&["cloud"])]);
    let mut device = world.device(&["slow"]);
    device.step_ms = 150.0;
    // Nothing was measured yet: the budget runs out while the prompt is computed.
    let (_, _, end) = world.run(world.tiers.start(request("hi"), device.side(), CancelToken::new()));
    assert_eq!((end.as_ref().unwrap().provenance.tier, end.unwrap().provenance.reason), (Tier::Cloud, Reason::ShouldNot));
    // Then it is known: a local-only request takes its time, and the next one goes at once.
    let only = TierRequest { privacy: vec![Privacy::LocalOnly], session: 9, ..request("mine") };
    assert_eq!(world.run(world.tiers.start(only, device.side(), CancelToken::new())).0, "slow");
    let before = world.clock.now_ms();
    let (_, _, end) = world.run(world.tiers.start(request("hi"), device.side(), CancelToken::new()));
    assert!(end.unwrap().provenance.detail.contains("would take") && world.clock.now_ms() - before < 100.0);
}

#[test]
fn a_slow_device_answers_all_the_same_where_the_cloud_fails() {
    let world = World::new(&format!(r#"{{{CLOUD},"budget":{{"firstTokenMs":100}}}}"#));
    world.plays([Act::Status(404, Vec::new()), Act::Status(404, Vec::new())]);
    let mut device = world.device(&["slow"]);
    device.step_ms = 150.0;
    for escalation in ["no token came", "would take"] {
        let answer = world.tiers.start(request("hi"), device.side(), CancelToken::new());
        let (shown, _, end) = world.run(answer);
        let completion = end.unwrap();
        assert_eq!((shown.as_str(), completion.provenance.tier), ("slow", Tier::Local), "{escalation}");
        assert_eq!((completion.provenance.reason, completion.provenance.attempts), (Reason::CanNot, 2));
    }
    assert_eq!(world.network.calls.get(), 2);
}

#[test]
fn a_device_that_was_slow_once_is_tried_again() {
    let world = World::new(&format!(r#"{{{CLOUD},"budget":{{"firstTokenMs":100}}}}"#));
    let mut device = world.device(&["quick"]);
    device.step_ms = 150.0;
    let only = TierRequest { privacy: vec![Privacy::LocalOnly], session: 9, ..request("mine") };
    assert!(world.run(world.tiers.start(only, device.side(), CancelToken::new())).2.is_ok());
    device.step_ms = 1.0;
    world.plays((0..40).map(|_| good(&["cloud"])));
    let asked = (0..40).position(|_| {
        let (_, _, end) = world.run(world.tiers.start(request("hi"), device.side(), CancelToken::new()));
        end.unwrap().provenance.tier == Tier::Local
    });
    assert!(asked.is_some_and(|asked| asked > 2), "{asked:?}");
}

#[test]
fn what_is_to_be_saved_is_saved() {
    let world = World::new(&format!(r#"{{{CLOUD},"privacy":"prefer-cloud","saving":{{"data":true}}}}"#));
    let (_, _, end) = ask(&world, None, request("hi"));
    let provenance = end.unwrap().provenance;
    assert_eq!((provenance.tier, provenance.reason, world.network.calls.get()), (Tier::Local, Reason::ShouldNot, 0));
    let world = World::new(&format!(r#"{{{CLOUD},"saving":{{"battery":true}}}}"#));
    world.plays([good(&["cloud"])]);
    let (_, _, end) = ask(&world, None, request("hi"));
    let provenance = end.unwrap().provenance;
    assert_eq!((provenance.tier, provenance.reason), (Tier::Cloud, Reason::ShouldNot));
}

#[test]
fn a_taint_stays_in_forks_retries_and_answers() {
    for rule in ["refuse", "without"] {
        let world = World::new(&format!(
            r#"{{"privacy":"prefer-cloud","cloud":{{"endpoint":"https://models.example/v1","model":"big","taint":"{rule}"}}}}"#
        ));
        let secret = TierRequest { session: 1, privacy: vec![Privacy::LocalOnly], ..request("SECRET results") };
        let (_, _, end) = ask(&world, Some((Phase::Decode, ErrorKind::DeviceLost)), secret.clone());
        assert_eq!(end.unwrap_err().code(), "device-lost");
        // A retry without the privacy stays at home, also in a fork.
        world.tiers.fork(1, 2);
        for session in [1, 2] {
            let retry = TierRequest { session, privacy: Vec::new(), ..secret.clone() };
            let (_, _, end) = ask(&world, None, retry);
            let provenance = end.unwrap().provenance;
            assert_eq!((provenance.tier, provenance.reason), (Tier::Local, Reason::MayNot), "{rule}");
        }
        // A later question in the same session.
        world.plays([good(&["cloud"])]);
        let history = vec![
            Message::user("SECRET results"),
            Message::new(Role::Assistant, "local text"),
            Message::user("what is the capital of Norway?"),
        ];
        let (_, _, end) = ask(&world, None, TierRequest { session: 1, messages: Some(history), ..TierRequest::default() });
        let provenance = end.unwrap().provenance;
        let bodies = world.network.bodies.borrow();
        if rule == "refuse" {
            assert_eq!((provenance.tier, bodies.len()), (Tier::Local, 0));
        } else {
            assert_eq!((provenance.tier, bodies.len()), (Tier::Cloud, 1));
            assert!(
                bodies[0].contains("Norway") && !bodies[0].contains("SECRET") && !bodies[0].contains("local text"),
                "{}",
                bodies[0]
            );
            assert_eq!(provenance.downgrades, ["messages of local-only requests"]);
        }
    }
}

#[test]
fn options_are_refused_or_listed() {
    let options = GenerateOptions { top_k: 5, ..GenerateOptions::default() };
    let gone = Some((Phase::Load, ErrorKind::WebgpuUnavailable));
    let world = World::new(&format!("{{{CLOUD}}}"));
    let (_, _, end) = ask(&world, gone, TierRequest { options: options.clone(), ..request("hi") });
    assert_eq!((end.unwrap_err().code(), world.network.calls.get()), ("webgpu-unavailable", 0));
    let world = World::new(r#"{"cloud":{"endpoint":"https://models.example/v1","model":"big","mayDrop":["topK"]}}"#);
    world.plays([good(&["cloud"])]);
    let (_, _, end) = ask(&world, gone, TierRequest { options, ..request("hi") });
    assert_eq!(end.unwrap().provenance.downgrades, ["topK"]);
}

#[test]
fn prices_sum_up_cost_and_savings() {
    let config = |privacy| {
        format!(
            r#"{{"privacy":"{privacy}","cloud":{{"endpoint":"https://models.example/v1","model":"big",
            "prices":{{"promptPerMillion":1000000,"completionPerMillion":2000000}}}}}}"#
        )
    };
    let world = World::new(&config("prefer-cloud"));
    world.plays([good(&["cloud"])]);
    let provenance = ask(&world, None, request("hi")).2.unwrap().provenance;
    assert_eq!((provenance.cost, provenance.saved), (Some(7.0 + 2.0 * 3.0), None));
    let world = World::new(&config("prefer-local"));
    let provenance = ask(&world, None, request("hi")).2.unwrap().provenance;
    assert_eq!((provenance.cost, provenance.saved), (None, Some(10.0 + 2.0 * 2.0)));
}

#[test]
fn an_abort_stops_either_tier_at_once() {
    for privacy in ["prefer-local", "prefer-cloud"] {
        for ms in [1.0, 7.0, 12.0, 600.0] {
            let world = World::new(&format!(r#"{{"privacy":"{privacy}",{CLOUD}}}"#));
            world.plays([Act::Status(500, Vec::new()), Act::Hang]);
            let mut device = world.device(&["a"; 200]);
            device.fails = Some((Phase::Decode, ErrorKind::DeviceLost));
            let cancel = CancelToken::new();
            world.clock.0.abort_at(ms, cancel.clone());
            let (_, _, end) = world.run(world.tiers.start(request("hi"), device.side(), cancel));
            assert_eq!(end.unwrap_err().code(), "aborted");
            assert!((world.clock.now_ms() - ms).abs() < f64::EPSILON, "{privacy} {ms}");
        }
    }
}
