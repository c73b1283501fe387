//! Guessed tokens on a GPU: the tokens, and the bits of what is computed behind them, are those of steps of one.

use conformance::{Loading, answer, answer_with, begun, golden_folder, gpu, greedy, next_within};
use eyas_core::{Event, GenerateOptions, Quantize, Tuning, TuningSource};
use eyas_engine::{Engine, Prompt, Request};
use eyas_kernels::KernelDevice;
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

/// Tokens of [`filled`].
const FILLED: usize = 11;

/// A cache with a prompt.
fn filled(decoder: &Decoder) -> KvCache {
    let prompt: Vec<u32> = (0..FILLED as u32).map(|i| 6 + (i * i * 7 + i) % 80).collect();
    let mut cache = decoder.new_cache(96, 9).unwrap();
    for chunk in prompt.chunks(9) {
        block_on(decoder.forward(&mut cache, chunk, LogitsOf::Nothing)).unwrap();
    }
    cache
}

/// Guesses that come true wholly, in part and not at all, of every length: what is chosen, and the bits of what follows, are as without.
fn check_steps(decoder: &Decoder, what: &str) {
    let mut plain = filled(decoder);
    let mut expected = vec![20];
    let mut bits = Vec::new();
    while expected.len() < 70 {
        let last = expected[expected.len() - 1];
        bits.push(logits_of(decoder, &mut plain, last));
        expected.extend(block_on(decoder.decode_greedy(&mut plain, last, 1)).unwrap());
    }
    let mut cache = filled(decoder);
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
        assert_eq!(cache.len(), FILLED + at);
        assert_eq!(decoder.most_guessed(&cache), 7, "{what}, turn {turn}: the adapter computes other bits");
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
    cache.release_guesses();
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

/// An engine that guesses wherever a guess was seen to come true, whatever steps really take.
fn engine_of(model: &str, gpu: &KernelDevice) -> Engine {
    Loading::default().on(gpu.clone()).context(96).chunks_of(9).at_even_pace().load(&golden_folder(model))
}

#[test]
fn answers_are_the_same_with_and_without() {
    let Some(gpu) = gpu() else { return };
    let mut accepted = 0;
    for model in MODELS.into_iter().step_by(2) {
        let engine = engine_of(model, &gpu);
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

/// An answer given up before a step, and at each wait in the middle of one: the session goes on as if nothing had been.
#[test]
fn an_answer_given_up_leaves_nothing_behind() {
    let Some(gpu) = gpu() else { return };
    // The second one looks back through windows, and some of its guesses do not come true.
    for (model, seed) in [("family-qwen3-tied", 1), ("family-gemma2-capped", 5)] {
        let engine = engine_of(model, &gpu);
        let request = Request::new(repetitive(seed), greedy(60));
        let expected = answer(&engine, repetitive(seed), without(greedy(60))).token_ids;
        let check = |engine: &Engine, tokens: usize, wait: Option<usize>| {
            let session = engine.session();
            let (mut generation, told) = begun(&session, &request, tokens);
            let told: Vec<u32> = told.into_iter().map(|(token_id, _)| token_id).collect();
            assert_eq!(told, expected[..tokens], "{model}");
            if let Some(wait) = wait {
                assert!(next_within(&mut generation, wait).is_none(), "{model}: a step was to be torn behind {tokens}");
            }
            drop(generation);
            let again = answer_with(&session, repetitive(seed), greedy(60));
            assert_eq!(again.token_ids, expected, "{model}, given up behind {tokens} at wait {wait:?}");
        };
        // The model's first guess is computed both ways: eight tokens at once, then each by itself.
        let (_, told) = begun(&engine.session(), &request, usize::MAX);
        let first = told.iter().position(|(_, waits)| *waits > 1).unwrap();
        assert_eq!(told[first].1, 1 + 8, "{model}");
        for wait in 0..told[first].1 {
            check(&engine_of(model, &gpu), first, Some(wait));
        }
        // Later ones are a step each: tokens follow for which nobody waits.
        let (_, told) = begun(&engine.session(), &request, usize::MAX);
        assert!(told.iter().all(|(_, waits)| *waits <= 1), "{model}: {told:?}");
        let is_step = |at: usize| told.get(at).is_some_and(|(_, waits)| *waits == 1);
        let (guesses, others): (Vec<usize>, Vec<usize>) =
            (1..told.len()).filter(|at| is_step(*at)).partition(|at| at + 1 < told.len() && !is_step(at + 1));
        assert!(guesses.len() > 1 && others.len() > 1, "{model}: {told:?}");
        for tokens in guesses.into_iter().chain(others.into_iter().step_by(8)) {
            check(&engine, tokens, None);
            check(&engine, tokens, Some(0));
        }
    }
}

/// What the device has allocated, where its driver's allocator tells.
fn allocated_bytes(decoder: &Decoder) -> Option<u64> {
    let gpu = &decoder.device().gpu_context().unwrap().device;
    gpu.generate_allocator_report().map(|report| report.total_allocated_bytes)
}

/// The recorded step is one for all caches of a decoder: another one has it when the first lets it go or is gone, and no bytes more are allocated.
#[test]
fn the_recorded_step_passes_from_cache_to_cache() {
    let Some(gpu) = gpu() else { return };
    let decoder = decoder_of("family-qwen3-tied", Quantize::None, &gpu);
    let (mut first, mut second) = (filled(&decoder), filled(&decoder));
    let expected = block_on(decoder.decode_greedy(&mut first, 20, 4)).unwrap();
    let guess = &expected[..3];
    let guessed = |cache: &mut KvCache| {
        assert_eq!(cache.truncate(FILLED), FILLED);
        block_on(decoder.decode_guessed(cache, 20, guess))
    };
    // The steps of one are recorded once for each cache.
    assert_eq!(block_on(decoder.decode_greedy(&mut second, 20, 4)).unwrap(), expected);
    assert_eq!((decoder.most_guessed(&first), decoder.most_guessed(&second)), (7, 7));
    assert_eq!(guessed(&mut first).unwrap(), expected);
    let allocated = allocated_bytes(&decoder);
    for _ in 0..2 {
        assert_eq!((decoder.most_guessed(&first), decoder.most_guessed(&second)), (7, 0));
        let refused = guessed(&mut second).unwrap_err();
        assert_eq!((refused.code(), second.len()), ("bad-input", FILLED));
        assert_eq!(block_on(decoder.decode_greedy(&mut second, 20, 4)).unwrap(), expected);
        first.release_guesses();
        assert!(decoder.is_used_to_guesses(&first, 3) && !decoder.is_used_to_guesses(&second, 3));
        assert_eq!(guessed(&mut second).unwrap(), expected);
        assert!(decoder.is_used_to_guesses(&second, 3) && !decoder.is_used_to_guesses(&first, 3));
        assert_eq!(allocated_bytes(&decoder), allocated);
        (first, second) = (second, first);
    }
    assert_eq!(decoder.most_guessed(&second), 0);
    drop(first);
    assert_eq!(guessed(&mut second).unwrap(), expected);
    // One cache less, and still one recording.
    match (allocated, allocated_bytes(&decoder)) {
        (Some(before), Some(after)) => assert!(after < before, "{before} bytes with two caches, {after} with one"),
        _ => println!("skipped: this driver does not tell what is allocated"),
    }
}

/// Of two answers at once the one that guessed first goes on guessing; both are what they would be alone.
#[test]
fn sessions_that_answer_at_once_do_not_take_the_step_from_each_other() {
    let Some(gpu) = gpu() else { return };
    let engine = engine_of("family-qwen3-tied", &gpu);
    let expected = answer(&engine, repetitive(1), without(greedy(60))).token_ids;
    let (first, second) = (engine.session(), engine.session());
    let (mut generation, told) = begun(&first, &Request::new(repetitive(1), greedy(60)), 40);
    let other = answer_with(&second, repetitive(1), greedy(60));
    assert_eq!((other.token_ids, other.usage.drafted_tokens), (expected.clone(), 0));
    let mut told: Vec<u32> = told.into_iter().map(|(token_id, _)| token_id).collect();
    let completion = loop {
        match block_on(generation.next()).unwrap() {
            Event::Delta { token_id, .. } => told.push(token_id),
            Event::Prefill { .. } => {}
            Event::Done(completion) => break completion,
        }
    };
    assert!(completion.usage.drafted_tokens > 0);
    assert_eq!(told, expected);
    drop(generation);
    for session in [&second, &first, &second] {
        let again = answer_with(session, repetitive(1), greedy(60));
        assert_eq!(again.token_ids, expected);
        assert!(again.usage.drafted_tokens > 0);
    }
}
