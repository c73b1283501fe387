//! How tests take an answer.

use eyas_core::{Completion, Event, GenerateOptions};
use eyas_engine::{Engine, Prompt, Request, Session};
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
