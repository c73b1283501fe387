//! Guessed tokens change how long an answer takes and nothing of what it says: not the tokens, not a bit of their log-probabilities, not the session.

use conformance::{Loading, answer, answer_with, begun, golden_folder, greedy, repository};
use eyas_core::{Completion, GenerateOptions, Quantize};
use eyas_engine::{Engine, Prompt, Request};

fn with_guesses(most: usize, options: &GenerateOptions) -> GenerateOptions {
    GenerateOptions { prompt_lookup_tokens: most, ..options.clone() }
}

/// A prompt that says the same three times.
fn repetitive(seed: u32) -> Prompt {
    let part: Vec<u32> = (0..12).map(|i| 6 + (seed * 31 + i * i * 7 + i) % 80).collect();
    Prompt::Ids([part.as_slice(), &part, &part[..5]].concat())
}

fn is_same(guessed: &Completion, plain: &Completion, what: &str) {
    assert_eq!(guessed.token_ids, plain.token_ids, "{what}");
    assert_eq!((&guessed.text, guessed.finish_reason), (&plain.text, plain.finish_reason), "{what}");
    let bits = |completion: &Completion| -> Vec<u32> {
        let tokens = completion.logprobs.iter();
        tokens
            .flat_map(|token| [token.logprob].into_iter().chain(token.top.iter().map(|top| top.logprob)))
            .map(f32::to_bits)
            .collect()
    };
    assert_eq!(bits(guessed), bits(plain), "{what}");
}

#[test]
fn every_family_answers_the_same_to_the_bit() {
    let plain = GenerateOptions { logprobs: true, top_logprobs: 3, prompt_lookup_tokens: 0, ..greedy(24) };
    let drawn = GenerateOptions { temperature: 0.7, top_k: 4, seed: Some(3), ..plain.clone() };
    let punished = GenerateOptions { repetition_penalty: 1.2, frequency_penalty: 0.3, ..plain.clone() };
    let (mut accepted, mut drafted, mut models) = (0, 0, 0);
    for entry in std::fs::read_dir(repository().join("tests/goldens")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("family-") {
            continue;
        }
        models += 1;
        for quantize in [Quantize::None, Quantize::Q8, Quantize::Q4] {
            let engine = Loading::default().quantized(quantize).chunks_of(9).load(&golden_folder(&name));
            for (options, kind) in [(&plain, "greedy"), (&drawn, "drawn"), (&punished, "punished")] {
                let expected = answer(&engine, repetitive(1), options.clone());
                assert_eq!((expected.usage.drafted_tokens, expected.usage.accepted_tokens), (0, 0));
                for most in [2, 7, 15] {
                    let guessed = answer(&engine, repetitive(1), with_guesses(most, options));
                    is_same(&guessed, &expected, &format!("{name}, {quantize:?}, {kind}, at most {most} guessed"));
                    assert!(guessed.usage.accepted_tokens <= guessed.usage.drafted_tokens);
                    drafted += guessed.usage.drafted_tokens;
                    accepted += guessed.usage.accepted_tokens;
                }
            }
        }
    }
    assert!(models >= 20, "{models} models");
    assert!(accepted > 0 && accepted < drafted, "{accepted} of {drafted} guessed tokens came true");
}

/// An answer that fills the context, a stop string in the middle of a guess, an answer given up there, a session that goes on.
#[test]
fn an_end_in_the_middle_of_a_guess_leaves_nothing_behind() {
    let engine: Engine = Loading::default().context(64).load(&golden_folder("family-qwen3-tied"));
    let mut loops = 0;
    for seed in 0..6 {
        let expected = answer(&engine, repetitive(seed), with_guesses(0, &greedy(35)));
        for tokens in [1, 2, 5, 20, 34, 35] {
            let session = engine.session();
            let found = answer_with(&session, repetitive(seed), greedy(tokens));
            assert_eq!(found.token_ids[..], expected.token_ids[..found.token_ids.len()], "{tokens} tokens");
            // All that was said but the last token, which may have been computed as a guess.
            let said = found.usage.prompt_tokens + found.token_ids.len();
            assert!((said - 1..=said).contains(&session.tokens()), "{} cached of {said}", session.tokens());
            loops += usize::from(found.usage.accepted_tokens > 3);
        }
        // Given up after each token.
        for tokens in 1..12 {
            let session = engine.session();
            let (generation, told) = begun(&session, &Request::new(repetitive(seed), greedy(35)), tokens);
            drop(generation);
            assert!(session.tokens() <= expected.usage.prompt_tokens + told.len());
            let again = answer_with(&session, repetitive(seed), greedy(35));
            assert_eq!(again.token_ids, expected.token_ids, "given up after {tokens}");
        }
    }
    assert!(loops > 0, "no answer repeated anything");
}
