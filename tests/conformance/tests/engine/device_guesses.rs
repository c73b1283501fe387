//! Guessed tokens on a GPU: the tokens, and the bits of what is computed behind them, are those of steps of one.

use conformance::{Loading, answer, answer_with, golden_folder, gpu, greedy};
use eyas_core::{Event, GenerateOptions, Quantize, Tuning, TuningSource};
use eyas_engine::{Engine, Prompt, Request};
use eyas_model::{Decoder, KvCache, LogitsOf};
use pollster::block_on;

use crate::properties::decoder_of;

const MODELS: [&str; 7] = [
    "llama-gqa-llama3",
    "family-qwen3-tied",
    "family-qwen2-padded",
    "family-gemma2-capped",
    "family-gemma3-sixth",
    "family-olmo2-grouped",
    "family-mistral-window",
];

fn logits_of(decoder: &Decoder, cache: &mut KvCache, id: u32) -> Vec<u32> {
    let kept = cache.len();
    let logits = block_on(decoder.forward(cache, &[id], LogitsOf::Last)).unwrap();
    assert_eq!(cache.truncate(kept), kept);
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// Guesses that come true wholly, in part and not at all, of every length: what is chosen, and the bits of what follows, are as without.
fn check_steps(decoder: &Decoder, what: &str) {
    let prompt: Vec<u32> = (0..11).map(|i| 6 + (i * i * 7 + i) % 80).collect();
    let filled = || {
        let mut cache = decoder.new_cache(96, 9).unwrap();
        for chunk in prompt.chunks(9) {
            block_on(decoder.forward(&mut cache, chunk, LogitsOf::Nothing)).unwrap();
        }
        cache
    };
    let mut plain = filled();
    let mut expected = vec![20];
    let mut bits = Vec::new();
    while expected.len() < 70 {
        let last = expected[expected.len() - 1];
        bits.push(logits_of(decoder, &mut plain, last));
        expected.extend(block_on(decoder.decode_greedy(&mut plain, last, 1)).unwrap());
    }
    let mut cache = filled();
    let mut at = 0;
    for (turn, (length, right)) in
        [(7, 7), (7, 0), (1, 1), (3, 2), (7, 3), (5, 5), (2, 0), (7, 6), (7, 7), (4, 1)].into_iter().enumerate()
    {
        let mut guess = expected[at + 1..=at + length].to_vec();
        if let Some(wrong) = guess.get_mut(right) {
            *wrong = (*wrong + 1) % 90;
        }
        let picked = block_on(decoder.decode_guessed(&mut cache, expected[at], &guess)).unwrap();
        assert_eq!(picked, expected[at + 1..=at + right + 1], "{what}, turn {turn}");
        at += picked.len();
        assert_eq!(cache.len(), prompt.len() + at);
        assert_eq!(decoder.most_guessed(), 7, "{what}, turn {turn}: the adapter computes other bits");
        assert_eq!(logits_of(decoder, &mut cache, expected[at]), bits[at], "{what}, turn {turn}: bits behind it");
        // Tokens of their own between guesses.
        if turn % 3 == 0 {
            at += 1;
            assert_eq!(block_on(decoder.decode_greedy(&mut cache, expected[at - 1], 1)).unwrap(), [expected[at]], "{what}");
        }
    }
    assert!(decoder.is_used_to_guesses(&cache, 7));
    let refused = |guess: &[u32], cache: &mut KvCache| block_on(decoder.decode_guessed(cache, 1, guess)).unwrap_err().code();
    assert_eq!(refused(&[], &mut cache), "bad-input");
    assert_eq!(refused(&[1; 8], &mut cache), "bad-input");
    assert_eq!(refused(&[1, 60_000], &mut cache), "bad-input");
    assert_eq!(refused(&[1, 2, 3, 4], &mut decoder.new_cache(4, 4).unwrap()), "bad-input");
    assert_eq!(refused(&[1, 2, 3, 4], &mut decoder.new_cache(4, 8).unwrap()), "context-overflow");
}

#[test]
fn every_cut_of_the_kernels_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for (index, tuning) in Tuning::variants().into_iter().enumerate() {
        let device = gpu.clone().with_tuning(tuning, TuningSource::Given);
        let (model, quantize) = (MODELS[index % MODELS.len()], [Quantize::Q4, Quantize::Q8, Quantize::None][index % 3]);
        check_steps(&decoder_of(model, quantize, &device), &format!("{model}, {quantize:?}, {tuning:?}"));
    }
}

/// A prompt that says the same three times.
fn repetitive(seed: u32) -> Prompt {
    let part: Vec<u32> = (0..12).map(|i| 6 + (seed * 31 + i * i * 7 + i) % 80).collect();
    Prompt::Ids([part.as_slice(), &part, &part[..5]].concat())
}

fn without(options: GenerateOptions) -> GenerateOptions {
    GenerateOptions { prompt_lookup_tokens: 0, ..options }
}

#[test]
fn answers_are_the_same_with_and_without() {
    let Some(gpu) = gpu() else { return };
    let mut accepted = 0;
    for model in MODELS.into_iter().step_by(2) {
        let engine = Loading::default().on(gpu.clone()).context(96).chunks_of(9).load(&golden_folder(model));
        for seed in 0..3 {
            for tokens in [66, 31] {
                let expected = answer(&engine, repetitive(seed), without(greedy(tokens)));
                assert_eq!((expected.usage.drafted_tokens, expected.usage.accepted_tokens), (0, 0));
                let session = engine.session();
                for most in [7, 2] {
                    let options = GenerateOptions { prompt_lookup_tokens: most, ..greedy(tokens) };
                    let found = answer_with(&session, repetitive(seed), options);
                    assert_eq!(found.token_ids, expected.token_ids, "{model}, {seed}, at most {most}");
                    assert_eq!((&found.text, found.finish_reason), (&expected.text, expected.finish_reason));
                    assert!(found.usage.accepted_tokens <= found.usage.drafted_tokens);
                    accepted += found.usage.accepted_tokens;
                }
            }
        }
        // What the host chooses has no guesses.
        let watched = GenerateOptions { logprobs: true, ..greedy(40) };
        let drawn = GenerateOptions { temperature: 0.7, seed: Some(2), ..greedy(40) };
        for options in [watched, drawn] {
            assert_eq!(answer(&engine, repetitive(0), options).usage.drafted_tokens, 0, "{model}");
        }
    }
    assert!(accepted > 0, "no guess came true");
}

/// An answer given up after each token, and in the middle of each of its steps: the session goes on as if nothing had been.
#[test]
fn an_answer_given_up_leaves_nothing_behind() {
    let Some(gpu) = gpu() else { return };
    for model in ["family-qwen3-tied", "family-mistral-window"] {
        let engine: Engine = Loading::default().on(gpu.clone()).context(96).chunks_of(9).load(&golden_folder(model));
        let expected = answer(&engine, repetitive(1), without(greedy(60)));
        for tokens in [9, 17, 18, 19, 20, 30, 45] {
            for is_torn in [false, true] {
                let session = engine.session();
                let mut generation = session.start(&Request::new(repetitive(1), greedy(60))).unwrap();
                let mut told = Vec::new();
                while told.len() < tokens {
                    match block_on(generation.next()).unwrap() {
                        Event::Delta { token_id, .. } => told.push(token_id),
                        Event::Prefill { .. } => {}
                        Event::Done(_) => break,
                    }
                }
                if is_torn {
                    let next = std::pin::pin!(generation.next());
                    let _ = next.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                }
                drop(generation);
                assert_eq!(told, expected.token_ids[..told.len()], "{model}");
                let again = answer_with(&session, repetitive(1), greedy(60));
                assert_eq!(again.token_ids, expected.token_ids, "{model}, given up after {tokens}");
            }
        }
    }
}
