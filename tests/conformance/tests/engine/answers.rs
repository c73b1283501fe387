//! Stop strings, end tokens, lengths, log-probabilities, seeds and provenance, through the whole engine.

use std::collections::BTreeMap;

use conformance::{Golden, Loading, answer, golden_folder, greedy};
use eyas_core::{FinishReason, GenerateOptions, Message, Role, Tier};
use eyas_engine::{Engine, Prompt, Request};

const MODEL: &str = "llama-gqa-llama3";

fn engine() -> Engine {
    Loading::default().load(&golden_folder(MODEL))
}

fn golden() -> Golden {
    Golden::read(&golden_folder(MODEL))
}

/// The prompt of the golden, whose greedy answer is known.
fn prompt() -> Prompt {
    Prompt::Ids(golden().ids)
}

#[test]
fn a_stop_string_over_token_borders_ends_the_answer_before_it() {
    let engine = engine();
    let whole = answer(&engine, prompt(), greedy(12));
    let (start, length) = (whole.text.len() / 2, 6);
    // From the middle of one word into the next.
    let stop = whole.text[start..start + length].to_owned();
    let at = whole.text.find(&stop).unwrap();
    let options = GenerateOptions { stop: vec!["never".into(), stop.clone()], ..greedy(12) };
    let stopped = answer(&engine, prompt(), options);
    assert_eq!((stopped.text.as_str(), stopped.finish_reason), (&whole.text[..at], FinishReason::Stop), "stop {stop:?}");
    assert!(stopped.token_ids.len() < whole.token_ids.len());
    assert_eq!(stopped.token_ids, whole.token_ids[..stopped.token_ids.len()]);
}

#[test]
fn text_held_back_for_a_stop_string_comes_out_at_the_end() {
    let engine = engine();
    let whole = answer(&engine, prompt(), greedy(5));
    let almost = format!("{}?", &whole.text[whole.text.len() - 3..]);
    let options = GenerateOptions { stop: vec![almost], ..greedy(5) };
    let held = answer(&engine, prompt(), options);
    assert_eq!((held.text, held.finish_reason), (whole.text, FinishReason::Length));
}

#[test]
fn an_end_token_ends_the_answer_and_is_no_text() {
    let engine = engine();
    assert_eq!(engine.end_tokens(), [2]);
    let options = GenerateOptions { logit_bias: BTreeMap::from([(2, 1e9)]), ..greedy(5) };
    let completion = answer(&engine, prompt(), options);
    assert_eq!((completion.text.as_str(), completion.finish_reason), ("", FinishReason::Stop));
    assert_eq!(completion.token_ids, [2]);
}

#[test]
fn without_max_tokens_the_answer_fills_the_context() {
    let engine = Loading::default().context(50).load(&golden_folder(MODEL));
    let options = GenerateOptions { logit_bias: BTreeMap::from([(2, f32::NEG_INFINITY)]), ..GenerateOptions::default() };
    let completion = answer(&engine, prompt(), options);
    assert_eq!(completion.finish_reason, FinishReason::Length);
    assert_eq!(completion.usage.prompt_tokens + completion.usage.completion_tokens, 50);
    assert_eq!(completion.token_ids, golden().greedy_ids[..10]);
}

#[test]
fn logprobs_are_those_of_the_unmodified_logits() {
    let (engine, golden) = (engine(), golden());
    let options = GenerateOptions { logprobs: true, top_logprobs: 20, ..greedy(6) };
    let plain = answer(&engine, prompt(), options.clone());
    assert_eq!(plain.logprobs.len(), 6);
    for (step, entry) in plain.logprobs.iter().enumerate() {
        let row = &golden.logits[(golden.ids.len() - 1 + step) * 131..][..131];
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        let expected = f64::from(row[entry.id as usize]) - sum.ln();
        assert!((f64::from(entry.logprob) - expected).abs() < 5e-3, "step {step}: {} instead of {expected}", entry.logprob);
        assert_eq!((entry.id, entry.top.len(), entry.top[0].id), (plain.token_ids[step], 20, entry.id));
        assert!(entry.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        assert!(entry.top.iter().map(|top| top.logprob.exp()).sum::<f32>() <= 1.0 + 1e-5);
        assert_eq!(entry.text, format!("w{}", entry.id));
    }
    // Another token is forced; its log-probability is still what the model gave it.
    let forced = GenerateOptions { logit_bias: BTreeMap::from([(77, 1e9)]), max_tokens: Some(1), top_logprobs: 20, ..options };
    let forced = answer(&engine, prompt(), forced);
    assert_eq!(forced.token_ids, [77]);
    assert!(forced.logprobs[0].logprob < plain.logprobs[0].logprob);
    assert_eq!(forced.logprobs[0].top, plain.logprobs[0].top);
}

#[test]
fn a_seed_repeats_an_answer_and_a_fresh_one_is_reported() {
    let engine = engine();
    let options = GenerateOptions { temperature: 1.5, ..greedy(16) };
    let first = answer(&engine, prompt(), options.clone());
    let again = answer(&engine, prompt(), GenerateOptions { seed: Some(first.seed), ..options.clone() });
    assert_eq!(first.token_ids, again.token_ids);
    let seeds = [first.seed, answer(&engine, prompt(), options).seed];
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn a_repetition_penalty_changes_a_repeating_answer() {
    let engine = engine();
    let plain = answer(&engine, prompt(), greedy(24)).token_ids;
    let penalised = answer(&engine, prompt(), GenerateOptions { frequency_penalty: 50.0, ..greedy(24) }).token_ids;
    let distinct = |ids: &[u32]| ids.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct(&plain) < 24);
    assert_eq!(distinct(&penalised), 24);
}

#[test]
fn a_text_gets_the_tokenizers_special_tokens_and_messages_those_of_the_template() {
    let engine = engine();
    let ids = |prompt| engine.encode_prompt(&Request::new(prompt, greedy(1))).unwrap();
    assert_eq!(ids(Prompt::Text("w9 w8".into())), [1, 9, 8]);
    assert_eq!(ids(Prompt::Text(String::new())), [1]);
    let messages = vec![Message::new(Role::System, "w7"), Message::user("w8 w9")];
    assert_eq!(ids(Prompt::Messages(messages)), [1, 3, 7, 2, 4, 8, 9, 2, 5]);
}

#[test]
fn the_completion_says_where_it_was_computed_and_how_long_it_took() {
    let engine = engine();
    let info = engine.info();
    assert_eq!((info.model.as_str(), info.architecture.as_str(), info.vocab_size), (MODEL, "llama", 131));
    assert_eq!((info.context_tokens, info.has_chat_template), (128, true));
    let completion = answer(&engine, prompt(), greedy(8));
    let provenance = &completion.provenance;
    assert_eq!((provenance.tier, provenance.attempts, provenance.bytes_sent), (Tier::Local, 1, 0));
    assert_eq!(
        (&provenance.model, &provenance.device, &provenance.reason),
        (&info.model, &info.device.name, &info.device.reason)
    );
    let timing = completion.timing;
    assert!(timing.prefill_ms > 0.0 && timing.first_token_ms >= timing.prefill_ms && timing.decode_ms > 0.0);
    assert!(timing.tokens_per_second > 0.0);
    assert_eq!((completion.usage.prompt_tokens, completion.usage.cached_tokens, completion.usage.completion_tokens), (40, 0, 8));
}
