//! A caller may stop anything at any await: by dropping the future, by dropping the generation, or by cancelling the token.

use std::{pin::pin, rc::Rc, task::Poll};

use conformance::{Loading, WatchedFiles, answer, answer_with, golden_folder, greedy, poll_once};
use eyas_core::{CancelToken, Event};
use eyas_engine::{Prompt, Request};
use eyas_kernels::KernelDevice;
use eyas_weights::{DirectoryFiles, ModelFiles};
use pollster::block_on;

const MODEL: &str = "llama-tied-linear";

fn watched() -> ModelFiles {
    WatchedFiles::folder(Rc::new(DirectoryFiles::open(golden_folder(MODEL)).unwrap())).0
}

fn prompt() -> Prompt {
    Prompt::Ids((0..30).map(|i| i * 4 + 6).collect())
}

/// Polls that a whole load takes: each await that can wait does so once.
fn polls_of_a_load() -> usize {
    let cancel = CancelToken::new();
    let mut load = pin!(Loading::default().load_slowly(watched(), &cancel));
    let mut polls = 1;
    while poll_once(load.as_mut()).is_pending() {
        polls += 1;
    }
    polls
}

#[test]
fn a_load_can_be_cancelled_at_every_await() {
    let polls = polls_of_a_load();
    assert!(polls > 20, "only {polls} awaits were watched");
    for stop in 0..polls {
        let cancel = CancelToken::new();
        let mut load = pin!(Loading::default().load_slowly(watched(), &cancel));
        for _ in 0..stop {
            assert!(poll_once(load.as_mut()).is_pending());
        }
        cancel.cancel();
        let error = block_on(load).err().unwrap_or_else(|| panic!("the load ended well though cancelled after {stop} polls"));
        assert_eq!(error.code(), "aborted", "after {stop} polls: {error}");
    }
    let engine = Loading::default().load(&golden_folder(MODEL));
    assert_eq!(answer(&engine, prompt(), greedy(3)).token_ids.len(), 3);
}

#[test]
fn a_load_can_be_dropped_at_every_await() {
    let polls = polls_of_a_load();
    for stop in 0..polls {
        let cancel = CancelToken::new();
        let mut load = Box::pin(Loading::default().load_slowly(watched(), &cancel));
        for _ in 0..stop {
            assert!(poll_once(load.as_mut()).is_pending());
        }
        drop(load);
    }
    assert!(Loading::default().try_load(watched()).is_ok());
}

#[test]
fn an_answer_can_be_dropped_after_every_event() {
    let engine = Loading::default().chunks_of(7).load(&golden_folder(MODEL));
    let expected = answer(&engine, prompt(), greedy(6));
    let session = engine.session();
    let memory = {
        answer_with(&session, prompt(), greedy(6));
        engine.info().memory_bytes
    };
    for stop in 0..12 {
        let mut generation = session.start(&Request::new(prompt(), greedy(6))).unwrap();
        let mut computed = 0;
        for _ in 0..stop {
            match block_on(generation.next()).unwrap() {
                Event::Prefill { done_tokens, .. } => computed = done_tokens,
                Event::Delta { .. } => computed = computed.max(30) + 1,
                Event::Done(_) => break,
            }
        }
        drop(generation);
        if (1..=6).contains(&stop) {
            // The token that was chosen last is not computed yet.
            assert!(session.tokens() <= computed, "{} tokens after {stop} events, {computed} computed", session.tokens());
        }
        let after = answer_with(&session, prompt(), greedy(6));
        assert_eq!(after.token_ids, expected.token_ids, "after {stop} events");
        assert_eq!(engine.info().memory_bytes, memory);
    }
}

#[test]
fn a_step_can_be_dropped_while_it_waits_on_the_cpu() {
    assert_eq!(dropped_steps(conformance::cpu()), 0, "a CPU computes without waiting; test that it can be left if that changes");
}

#[test]
fn a_step_can_be_dropped_while_it_waits_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    println!("{} steps were dropped while they waited", dropped_steps(gpu));
}

/// Lets go of each step once where it waits, and takes it again; returns how many did wait.
fn dropped_steps(device: KernelDevice) -> usize {
    let engine = Loading::default().on(device).chunks_of(7).load(&golden_folder(MODEL));
    let expected = answer(&engine, prompt(), greedy(6)).token_ids;
    let mut generation = engine.session().start(&Request::new(prompt(), greedy(6))).unwrap();
    let (mut ids, mut dropped) = (Vec::new(), 0);
    loop {
        let first = {
            let mut step = pin!(generation.next());
            poll_once(step.as_mut())
        };
        let event = match first {
            Poll::Ready(event) => event.unwrap(),
            Poll::Pending => {
                dropped += 1;
                block_on(generation.next()).unwrap()
            }
        };
        match event {
            Event::Prefill { .. } => {}
            Event::Delta { token_id, .. } => ids.push(token_id),
            Event::Done(_) => break,
        }
    }
    assert_eq!(ids, expected);
    dropped
}
