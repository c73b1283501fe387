//! What sessions hold, and what a busy one says.

use conformance::{Loading, answer_with, golden_folder, greedy};
use eyas_core::Event;
use eyas_engine::{Engine, Prompt, Request};
use pollster::block_on;

fn engine() -> Engine {
    Loading::default().context(64).load(&golden_folder("llama-mqa-f16"))
}

fn request(ids: &[u32]) -> Request {
    Request::new(Prompt::Ids(ids.to_vec()), greedy(4))
}

#[test]
fn a_session_takes_memory_from_its_first_answer_until_it_is_dropped() {
    let engine = engine();
    let empty = engine.info().memory_bytes;
    let session = engine.session();
    assert_eq!((session.tokens(), engine.info().memory_bytes), (0, empty));
    answer_with(&session, Prompt::Ids(vec![1, 9, 8]), greedy(4));
    let cache_bytes = engine.config().cache_bytes(64, 64);
    assert_eq!(engine.info().memory_bytes, empty + cache_bytes);
    assert_eq!(session.tokens(), 3 + 3, "the last token was chosen and not computed");
    let fork = block_on(session.fork()).unwrap();
    assert_eq!(engine.info().memory_bytes, empty + 2 * cache_bytes);
    drop((session, fork));
    assert_eq!(engine.info().memory_bytes, empty);
}

#[test]
fn a_fork_of_an_unused_session_is_unused() {
    let session = engine().session();
    let fork = block_on(session.fork()).unwrap();
    assert_eq!(fork.tokens(), 0);
    assert_eq!(answer_with(&fork, Prompt::Ids(vec![1, 9]), greedy(2)).token_ids.len(), 2);
}

#[test]
fn a_busy_session_refuses_a_second_answer_and_a_fork() {
    let session = engine().session();
    let mut first = session.start(&request(&[1, 7, 8])).unwrap();
    block_on(first.next()).unwrap();
    for error in [session.start(&request(&[1])).err().unwrap(), block_on(session.fork()).err().unwrap()] {
        assert_eq!(error.code(), "bad-input");
        assert!(error.detail().contains("busy"), "{error}");
    }
    while !matches!(block_on(first.next()).unwrap(), Event::Done(_)) {}
    // It is over, but still holds the cache.
    assert!(session.start(&request(&[1])).is_err());
    drop(first);
    assert!(session.start(&request(&[1])).is_ok());
}

#[test]
fn a_refused_request_leaves_the_session_as_it_was() {
    let session = engine().session();
    answer_with(&session, Prompt::Ids(vec![1, 7, 8]), greedy(4));
    let before = session.tokens();
    assert!(session.start(&request(&[])).is_err());
    assert!(session.start(&request(&[1; 70])).is_err());
    assert_eq!(session.tokens(), before);
}

#[test]
fn two_sessions_may_answer_in_turns() {
    let engine = engine();
    let alone = answer_with(&engine.session(), Prompt::Ids(vec![1, 7, 8]), greedy(4));
    let mut a = engine.session().start(&request(&[1, 7, 8])).unwrap();
    let mut b = engine.session().start(&request(&[1, 50, 60, 70])).unwrap();
    let mut ids = Vec::new();
    while let Event::Prefill { .. } | Event::Delta { .. } = {
        let event = block_on(a.next()).unwrap();
        if let Event::Delta { token_id, .. } = &event {
            ids.push(*token_id);
        }
        event
    } {
        block_on(b.next()).unwrap();
    }
    assert_eq!(ids, alone.token_ids);
}
