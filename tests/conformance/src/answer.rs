//! How tests take an answer.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use eyas_core::{Completion, Event, GenerateOptions};
use eyas_engine::{Engine, Generation, Prompt, Request, Session};
use pollster::block_on;

/// Greedy options with this many tokens at most.
pub fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens: Some(max_tokens), ..GenerateOptions::default() }
}

/// The whole answer of a fresh session.
pub fn answer(engine: &Engine, prompt: Prompt, options: GenerateOptions) -> Completion {
    answer_with(&engine.session(), prompt, options)
}

/// The whole answer of a session, after checking that its events make sense.
pub fn answer_with(session: &Session, prompt: Prompt, options: GenerateOptions) -> Completion {
    let mut generation = session.start(&Request::new(prompt, options)).unwrap();
    let (mut text, mut thoughts, mut ids, mut prefilled) = (String::new(), String::new(), Vec::new(), 0);
    loop {
        match block_on(generation.next()).unwrap() {
            Event::Prefill { done_tokens, total_tokens } => {
                assert!(ids.is_empty() && done_tokens > prefilled && done_tokens <= total_tokens);
                prefilled = done_tokens;
            }
            Event::Delta { text: delta, reasoning, token_id } => {
                text.push_str(&delta);
                thoughts.push_str(&reasoning);
                ids.push(token_id);
            }
            Event::Done(completion) => {
                assert_eq!(completion.text, text, "the deltas make up the text");
                assert_eq!(completion.reasoning, thoughts, "and the reasoning");
                assert_eq!(completion.token_ids, ids, "each token has its delta");
                assert_eq!(completion.usage.completion_tokens, ids.len());
                assert_eq!(completion.usage.prompt_tokens, prefilled);
                assert_eq!(block_on(generation.next()).unwrap_err().code(), "bad-input");
                return *completion;
            }
        }
    }
}

/// The next event and how often it was waited for; none where that would be more than `patience` times: then the step under way is torn.
pub fn next_within(generation: &mut Generation, patience: usize) -> Option<(Event, usize)> {
    let mut next = pin!(generation.next());
    (0..=patience).find_map(|waits| match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some((event.unwrap(), waits)),
        Poll::Pending => None,
    })
}

/// An answer of which so many tokens are told (all, where it has no more), with how often each was waited for.
pub fn begun(session: &Session, request: &Request, tokens: usize) -> (Generation, Vec<(u32, usize)>) {
    let mut generation = session.start(request).unwrap();
    let mut told = Vec::new();
    while told.len() < tokens {
        match next_within(&mut generation, usize::MAX - 1).unwrap() {
            (Event::Delta { token_id, .. }, waits) => told.push((token_id, waits)),
            (Event::Prefill { .. }, _) => {}
            (Event::Done(_), _) => break,
        }
    }
    (generation, told)
}
