//! Ways by which what a local-only request said, or was answered, could leave in a later request of its session.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, Message, Role, Tier};
use eyas_tier::{Privacy, Reason, TierRequest};
use lab::{Act, Phase, World, good};

const SECRET: &str = "my results say SECRET positive for the second time this year, which worries me";
const ANSWER: [&str; 4] = ["you ", "should ", "see doctor ", "PRIVATE"];

fn world(rule: &str, rest: &str) -> World {
    let world = World::new(&format!(
        r#"{{"privacy":"prefer-cloud",{rest}"cloud":{{"endpoint":"https://models.example/v1","model":"big","taint":"{rule}"}}}}"#
    ));
    world.plays((0..4).map(|_| good(&["cloud"])));
    world
}

fn said(role: Role, text: &str) -> Message {
    Message::new(role, text)
}

fn question() -> Message {
    Message::user("what is the capital of Norway?")
}

fn local_only(messages: Vec<Message>) -> TierRequest {
    TierRequest { session: 1, privacy: vec![Privacy::LocalOnly], messages: Some(messages), ..TierRequest::default() }
}

/// Asks with `message` in the history, and says which tier answered. Nothing of the secret may be in what left.
fn ask_after(world: &World, message: Message) -> (Tier, Reason, Vec<String>) {
    let request = TierRequest { session: 1, messages: Some(vec![message, question()]), ..TierRequest::default() };
    let answer = world.tiers.start(request, world.device(&["Oslo"]).side(), CancelToken::new());
    let provenance = world.run(answer).2.unwrap().provenance;
    for body in world.network.bodies.borrow().iter() {
        assert!(!["SECRET", "PRIVATE", "doctor", "should"].iter().any(|word| body.contains(word)), "{body}");
    }
    (provenance.tier, provenance.reason, provenance.downgrades)
}

/// A message that must not leave keeps the request here, or leaves it without the message.
fn stays(world: impl Fn(&str) -> World, message: &Message) {
    let (tier, reason, _) = ask_after(&world("refuse"), message.clone());
    assert_eq!((tier, reason), (Tier::Local, Reason::MayNot), "{message:?}");
    let (tier, _, downgrades) = ask_after(&world("without"), message.clone());
    assert_eq!((tier, downgrades.len()), (Tier::Cloud, 1), "{message:?}");
}

#[test]
fn the_same_text_in_another_role_or_inside_another_stays() {
    let told = |rule: &str| {
        let world = world(rule, "");
        let request = local_only(vec![Message::user(SECRET)]);
        let answer = world.tiers.start(request, world.device(&ANSWER).side(), CancelToken::new());
        assert_eq!(world.run(answer).2.unwrap().provenance.tier, Tier::Local);
        world
    };
    let call = serde_json::json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function",
        "function": { "name": "note", "arguments": serde_json::json!({ "text": SECRET }).to_string() } }] });
    for message in [
        said(Role::System, SECRET),
        said(Role::Assistant, SECRET),
        said(Role::Tool, SECRET),
        said(Role::System, &format!("Summary so far. The person: {SECRET}. Be kind.")),
        said(Role::User, "SECRET positive"),
        said(Role::User, &ANSWER.concat()),
        said(Role::System, &format!("You said: \"{}\"", ANSWER.concat())),
        serde_json::from_value(call).unwrap(),
        said(Role::Tool, &serde_json::json!({ "found": [SECRET] }).to_string()),
        said(Role::User, "Rephrase this: 'say SECRET positive for the second time this year, which' - or so."),
    ] {
        stays(told, &message);
    }
    let (tier, _, downgrades) = ask_after(&told("refuse"), said(Role::System, "You know every capital."));
    assert_eq!((tier, downgrades.len()), (Tier::Cloud, 0), "what is not of it may leave");
}

#[test]
fn an_answer_that_was_broken_off_stays() {
    for (fails, abort_ms) in [(Some((Phase::Decode, ErrorKind::DeviceLost)), None), (None, Some(44.0)), (None, Some(34.0))] {
        let broken = |rule: &str| {
            let world = world(rule, "");
            let cancel = CancelToken::new();
            if let Some(ms) = abort_ms {
                world.clock.0.abort_at(ms, cancel.clone());
            }
            let mut device = world.device(&ANSWER);
            device.fails = fails;
            let request = local_only(vec![Message::user("hm?")]);
            let (shown, _, end) = world.run(world.tiers.start(request, device.side(), cancel));
            assert!(end.is_err() && shown.starts_with("you "), "{shown:?} {end:?}");
            world.clock.0.no_abort();
            world
        };
        stays(broken, &said(Role::Assistant, "you "));
        stays(broken, &said(Role::Assistant, "yo"));
    }
}

#[test]
fn an_answer_that_nobody_waited_for_stays() {
    let left = |rule: &str| {
        let world = world(rule, "");
        let request = local_only(vec![Message::user("hm?")]);
        let mut answer = world.tiers.start(request, world.device(&ANSWER).side(), CancelToken::new());
        world.clock.0.run(async {
            for _ in 0..6 {
                answer.next().await.unwrap();
            }
        });
        drop(answer);
        world
    };
    stays(left, &said(Role::Assistant, "you should see doctor"));
}

/// The device knows the whole history, the cloud the rest of it: what the device said of it is no less secret where it was withdrawn.
#[test]
fn what_was_shown_and_withdrawn_or_failed_stays() {
    for (mid_stream, act) in
        [("replace", good(&["cloud"])), ("append", good(&["cloud"])), ("replace", Act::Status(404, Vec::new()))]
    {
        let world = world("without", &format!(r#""midStream":"{mid_stream}","#));
        let secret = Message::user(SECRET);
        let answer = world.tiers.start(local_only(vec![secret.clone()]), world.device(&["fine"]).side(), CancelToken::new());
        assert!(world.run(answer).2.is_ok());
        world.plays([act.clone()]);
        let mut device = world.device(&ANSWER);
        device.fails = Some((Phase::Decode, ErrorKind::OutOfMemory));
        let (privacy, messages) = (vec![Privacy::PreferLocal], Some(vec![secret, question()]));
        let request = TierRequest { session: 1, privacy, messages, ..TierRequest::default() };
        let (shown, switches, _) = world.run(world.tiers.start(request, device.side(), CancelToken::new()));
        assert_eq!(switches, usize::from(!matches!(act, Act::Status(..))), "{shown}");
        world.plays([good(&["cloud"])]);
        let (tier, _, downgrades) = ask_after(&world, said(Role::Assistant, "you "));
        assert_eq!((tier, downgrades.len()), (Tier::Cloud, 1), "{mid_stream} {act:?}");
    }
}

/// What the cloud itself answered, or the device to a question that could leave, is nothing to keep.
#[test]
fn what_could_leave_still_leaves() {
    let world = world("refuse", "");
    let ask = |messages: Vec<Message>, device: &[&str]| {
        let request = TierRequest { session: 1, messages: Some(messages), ..TierRequest::default() };
        world.run(world.tiers.start(request, world.device(device).side(), CancelToken::new())).2.unwrap()
    };
    let mut history = vec![question()];
    let first = ask(history.clone(), &[]);
    assert_eq!(first.provenance.tier, Tier::Cloud);
    history.push(said(Role::Assistant, &first.text));
    let secret =
        TierRequest { messages: Some([history.clone(), vec![Message::user(SECRET)]].concat()), ..local_only(Vec::new()) };
    assert!(world.run(world.tiers.start(secret, world.device(&ANSWER).side(), CancelToken::new())).2.is_ok());
    history.extend([said(Role::Assistant, "Stockholm it is"), Message::user("and of Finland?")]);
    assert_eq!(ask(history, &[]).provenance.tier, Tier::Cloud);
}
