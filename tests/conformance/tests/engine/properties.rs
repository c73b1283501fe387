//! What must not make a difference: how a prompt is cut into steps, what a session computed before, which of two forks goes first.

use std::cell::OnceCell;

use conformance::{Loading, answer, answer_with, cpu, golden_folder, greedy, largest_difference};
use eyas_core::{CancelToken, GenerateOptions, Progress, Quantize, TuningSource};
use eyas_engine::{Engine, Prompt, Session};
use eyas_kernels::{KernelDevice, Tuning};
use eyas_model::{Decoder, DecoderConfig, LoadPlan, LogitsOf};
use eyas_weights::Checkpoint;
use pollster::block_on;
use proptest::{collection::vec, prelude::*};

const MODEL: &str = "llama-gqa-llama3";
/// Differences of the order of summation only.
const TOLERANCE: f32 = 2e-4;

fn engine() -> Engine {
    Loading::default().load(&golden_folder(MODEL))
}

fn decoder(device: &KernelDevice) -> Decoder {
    decoder_of(MODEL, Quantize::None, device)
}

pub(crate) fn decoder_of(model: &str, quantize: Quantize, device: &KernelDevice) -> Decoder {
    let files = conformance::folder_files(&golden_folder(model));
    block_on(async {
        let checkpoint = Checkpoint::open(&files).await.unwrap();
        let text = std::fs::read_to_string(golden_folder(model).join("config.json")).unwrap();
        let config = DecoderConfig::from_hf(&serde_json::from_str(&text).unwrap()).unwrap();
        let (silent, cancel) = (|_: Progress| {}, CancelToken::new());
        let plan = LoadPlan { quantize, progress: &silent, cancel: &cancel };
        Decoder::load(&checkpoint, config, device, &plan).await.unwrap()
    })
}

/// Logits of every position, computed in steps of these sizes.
fn stepwise(decoder: &Decoder, ids: &[u32], mut steps: impl Iterator<Item = usize>) -> Vec<f32> {
    let mut cache = decoder.new_cache(128, 128).unwrap();
    let mut logits = Vec::new();
    while cache.len() < ids.len() {
        let end = (cache.len() + steps.next().unwrap()).min(ids.len());
        let of = if end - cache.len() == 1 { LogitsOf::Last } else { LogitsOf::All };
        let step = &ids[cache.len()..end];
        logits.extend(block_on(decoder.forward(&mut cache, step, of)).unwrap());
        assert_eq!(cache.len(), end);
    }
    logits
}

fn some_ids(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 37 % 125 + 6) as u32).collect()
}

fn prefill_equals_single_steps(device: &KernelDevice) {
    let (decoder, ids) = (decoder(device), some_ids(70));
    let single = stepwise(&decoder, &ids, std::iter::repeat(1));
    for chunk in [2, 3, 7, 16, 33, 64, 70] {
        let (worst, at) = largest_difference(&stepwise(&decoder, &ids, std::iter::repeat(chunk)), &single);
        assert!(worst < TOLERANCE * 30.0, "chunks of {chunk}: {worst} at {at}");
    }
}

#[test]
fn prefill_of_n_equals_n_single_steps_on_the_cpu() {
    prefill_equals_single_steps(&cpu());
}

#[test]
fn prefill_of_n_equals_n_single_steps_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    prefill_equals_single_steps(&gpu);
}

/// The most probable token, the lowest id among equals.
fn most_probable(logits: &[f32]) -> u32 {
    (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best }) as u32
}

#[test]
fn any_number_of_tokens_in_flight_gives_the_same_tokens() {
    let Some(gpu) = conformance::gpu() else { return };
    for tuning in Tuning::variants() {
        let decoder = decoder(&gpu.clone().with_tuning(tuning, TuningSource::Given));
        let prompt = some_ids(9);
        let mut cache = decoder.new_cache(128, 64).unwrap();
        let first = most_probable(&block_on(decoder.forward(&mut cache, &prompt, LogitsOf::Last)).unwrap());
        let mut expected = vec![first];
        while expected.len() <= 48 {
            let logits = block_on(decoder.forward(&mut cache, &expected[expected.len() - 1..], LogitsOf::Last)).unwrap();
            expected.push(most_probable(&logits));
        }
        for in_flight in [1, 3, 4, decoder.most_in_flight()] {
            cache.truncate(prompt.len());
            let mut found = vec![first];
            while found.len() <= 48 {
                let last = found[found.len() - 1];
                found.extend(block_on(decoder.decode_greedy(&mut cache, last, in_flight)).unwrap());
                assert_eq!(cache.len() + 1, prompt.len() + found.len());
            }
            assert_eq!(found[..expected.len()], expected, "{in_flight} in flight, {tuning:?}");
        }
        let too_many = decoder.most_in_flight() + 1;
        assert_eq!(block_on(decoder.decode_greedy(&mut cache, 1, too_many)).unwrap_err().code(), "bad-input");
        let mut full = decoder.new_cache(4, 4).unwrap();
        assert_eq!(block_on(decoder.decode_greedy(&mut full, 1, 5)).unwrap_err().code(), "context-overflow");
        assert_eq!(block_on(decoder.decode_greedy(&mut full, 1, 4)).unwrap().len(), 4);
    }
}

#[test]
fn a_gpu_passes_the_canary_with_every_kind_of_weights() {
    let Some(gpu) = conformance::gpu() else { return };
    let cancel = CancelToken::new();
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        let gpu = gpu.clone().with_tuning(tuning, TuningSource::Given);
        for (model, quantize) in
            [(MODEL, Quantize::None), (MODEL, Quantize::Q8), (MODEL, Quantize::Q4), ("llama-mqa-f16", Quantize::None)]
        {
            let decoder = decoder_of(model, quantize, &gpu);
            // Room for less than the canary's tokens, and for more.
            for (context, chunk) in [(1, 1), (2, 8), (16, 1), (16, 8)] {
                let mut cache = decoder.new_cache(context, chunk).unwrap();
                block_on(decoder.try_device(&mut cache, &cancel)).unwrap();
                assert!(cache.is_empty());
            }
        }
    }
}

#[test]
fn a_cpu_leaves_the_choice_to_the_host() {
    let decoder = decoder(&cpu());
    assert_eq!(decoder.most_in_flight(), 0);
    let mut cache = decoder.new_cache(8, 8).unwrap();
    assert_eq!(block_on(decoder.decode_greedy(&mut cache, 1, 1)).unwrap_err().code(), "bad-input");
}

#[test]
fn what_truncate_forgets_is_forgotten() {
    let (decoder, ids) = (decoder(&cpu()), some_ids(40));
    let mut cache = decoder.new_cache(64, 64).unwrap();
    block_on(decoder.forward(&mut cache, &some_ids(33)[3..], LogitsOf::Nothing)).unwrap();
    cache.truncate(0);
    let found = block_on(decoder.forward(&mut cache, &ids, LogitsOf::All)).unwrap();
    let (worst, _) = largest_difference(&found, &stepwise(&decoder, &ids, std::iter::repeat(40)));
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn a_cache_that_is_full_says_so_and_stays_usable() {
    let decoder = decoder(&cpu());
    let mut cache = decoder.new_cache(8, 8).unwrap();
    block_on(decoder.forward(&mut cache, &some_ids(6), LogitsOf::Nothing)).unwrap();
    let error = block_on(decoder.forward(&mut cache, &some_ids(3), LogitsOf::Last)).unwrap_err();
    assert_eq!((error.code(), cache.len()), ("context-overflow", 6));
    assert_eq!(block_on(decoder.forward(&mut cache, &some_ids(2), LogitsOf::Last)).unwrap().len(), 131);
}

#[test]
fn any_chunk_size_gives_the_same_answer() {
    let prompt = || Prompt::Ids(some_ids(50));
    let options = GenerateOptions { temperature: 0.9, seed: Some(5), ..greedy(24) };
    let expected = answer(&engine(), prompt(), options.clone());
    for chunk in [1, 2, 5, 49, 50, 51, 4096] {
        let engine = Loading::default().chunks_of(chunk).load(&golden_folder(MODEL));
        assert_eq!(answer(&engine, prompt(), options.clone()).token_ids, expected.token_ids, "chunks of {chunk}");
    }
}

#[test]
fn sessions_on_the_cpu() {
    reusing_a_prefix_equals_not_reusing_it(&engine());
    forks_that_diverge_are_like_two_fresh_sessions(&engine());
}

#[test]
fn sessions_on_the_gpu() {
    let Some(gpu) = conformance::gpu() else { return };
    let engine = Loading::default().on(gpu).load(&golden_folder(MODEL));
    reusing_a_prefix_equals_not_reusing_it(&engine);
    forks_that_diverge_are_like_two_fresh_sessions(&engine);
}

fn reusing_a_prefix_equals_not_reusing_it(engine: &Engine) {
    let session = engine.session();
    let mut prompt = some_ids(20);
    for turn in 0..4 {
        let reused = answer_with(&session, Prompt::Ids(prompt.clone()), greedy(8));
        let fresh = answer(engine, Prompt::Ids(prompt.clone()), greedy(8));
        assert_eq!(reused.token_ids, fresh.token_ids, "turn {turn}");
        assert_eq!(fresh.usage.cached_tokens, 0);
        if turn > 0 {
            // All of the last prompt and of its answer but the last token, which was never computed.
            assert_eq!(reused.usage.cached_tokens, prompt.len() - 5 - 1, "turn {turn}");
        }
        prompt.extend(&reused.token_ids);
        prompt.extend([9, 8, 7, 6, 10 + turn]);
    }
    // The same prompt again: only its last token is computed.
    let again = answer_with(&session, Prompt::Ids(prompt.clone()), greedy(2));
    let again_cached = answer_with(&session, Prompt::Ids(prompt.clone()), greedy(2));
    assert_eq!(again.token_ids, again_cached.token_ids);
    assert_eq!(again_cached.usage.cached_tokens, prompt.len() - 1);
    // Another beginning: nothing is kept.
    prompt[0] += 1;
    let other = answer_with(&session, Prompt::Ids(prompt.clone()), greedy(8));
    assert_eq!(other.usage.cached_tokens, 0);
    assert_eq!(other.token_ids, answer(engine, Prompt::Ids(prompt), greedy(8)).token_ids);
}

fn forks_that_diverge_are_like_two_fresh_sessions(engine: &Engine) {
    let session = engine.session();
    let start = some_ids(30);
    answer_with(&session, Prompt::Ids(start.clone()), greedy(4));
    let fork = block_on(session.fork()).unwrap();
    assert_eq!(fork.tokens(), session.tokens());
    let ends = [[20, 21, 22], [30, 31, 32]];
    let prompts = ends.map(|end| [start.as_slice(), &end].concat());
    // In turns, so that one would show in the other.
    for _ in 0..2 {
        for (session, prompt) in [(&session, &prompts[0]), (&fork, &prompts[1])] {
            let found = answer_with(session, Prompt::Ids(prompt.clone()), greedy(12));
            let fresh = answer(engine, Prompt::Ids(prompt.clone()), greedy(12));
            assert_eq!(found.token_ids, fresh.token_ids);
            assert!(found.usage.cached_tokens >= start.len());
        }
    }
}

thread_local! {
    static SHARED: OnceCell<(Engine, Session)> = const { OnceCell::new() };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A session that has seen anything answers as a fresh one does.
    #[test]
    fn a_sessions_past_does_not_show(ids in vec(6_u32..12, 1..40), tokens in 1_usize..6) {
        SHARED.with(|shared| {
            let (engine, session) = shared.get_or_init(|| {
                let engine = Loading::default().chunks_of(7).load(&golden_folder(MODEL));
                let session = engine.session();
                (engine, session)
            });
            let past = answer_with(session, Prompt::Ids(ids.clone()), greedy(tokens));
            let fresh = answer(engine, Prompt::Ids(ids.clone()), greedy(tokens));
            assert_eq!(past.token_ids, fresh.token_ids);
        });
    }

    /// Steps of any sizes.
    #[test]
    fn any_cut_of_a_prompt_gives_the_same_logits(steps in vec(1_usize..20, 1..6)) {
        thread_local!(static DECODER: Decoder = decoder(&cpu()));
        DECODER.with(|decoder| {
            let ids = some_ids(steps.iter().sum());
            let whole = stepwise(decoder, &ids, std::iter::once(ids.len()));
            let whole = &whole[whole.len() - 131..];
            let cut = stepwise(decoder, &ids, steps.iter().copied());
            let (worst, _) = largest_difference(&cut[cut.len() - 131..], whole);
            assert!(worst < TOLERANCE * 30.0, "{worst}");
        });
    }
}
