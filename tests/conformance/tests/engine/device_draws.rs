//! Tokens that the GPU draws are those that the host draws from the GPU's logits: asking for log-probabilities leaves the draw to the host.

use std::collections::BTreeMap;

use conformance::{Loading, answer_with, golden_folder, greedy};
use eyas_core::GenerateOptions;
use eyas_engine::Prompt;

fn prompt(seed: u32) -> Prompt {
    Prompt::Ids((0..14).map(|i| 6 + (seed * 31 + i * i * 7 + i) % 80).collect())
}

/// Every kind of option, alone and together.
fn drawn() -> Vec<(&'static str, GenerateOptions)> {
    let warm = || GenerateOptions { temperature: 0.9, seed: Some(11), ..greedy(40) };
    let bias = BTreeMap::from([(9, 4.0), (12, -3.0), (20, f32::NEG_INFINITY)]);
    vec![
        ("temperature", warm()),
        ("hot", GenerateOptions { temperature: 5.0, ..warm() }),
        ("top-k", GenerateOptions { top_k: 5, ..warm() }),
        ("top-p", GenerateOptions { top_p: 0.7, ..warm() }),
        ("min-p", GenerateOptions { min_p: 0.2, ..warm() }),
        ("penalties", GenerateOptions { repetition_penalty: 1.3, presence_penalty: 0.4, frequency_penalty: 0.2, ..warm() }),
        ("greedy with penalties", GenerateOptions { repetition_penalty: 1.5, frequency_penalty: 0.5, ..greedy(40) }),
        ("bias", GenerateOptions { logit_bias: bias.clone(), ..warm() }),
        ("greedy with bias", GenerateOptions { logit_bias: bias.clone(), ..greedy(40) }),
        (
            "everything",
            GenerateOptions {
                top_k: 30,
                top_p: 0.9,
                min_p: 0.01,
                repetition_penalty: 0.9,
                presence_penalty: -0.2,
                frequency_penalty: 0.1,
                logit_bias: bias,
                ..warm()
            },
        ),
    ]
}

#[test]
fn a_gpu_draws_what_the_host_would() {
    let Some(gpu) = conformance::gpu() else { return };
    for model in ["llama-gqa-llama3", "family-qwen2-padded"] {
        let engine = Loading::default().on(gpu.clone()).load(&golden_folder(model));
        // One session for all answers: what an answer left on the device must not reach the next one.
        let (on_device, on_host) = (engine.session(), engine.session());
        let mut all = Vec::new();
        for (seed, (name, options)) in (0..).zip(drawn()) {
            let by_host = GenerateOptions { logprobs: true, ..options.clone() };
            let expected = answer_with(&on_host, prompt(seed), by_host);
            let found = answer_with(&on_device, prompt(seed), options);
            assert_eq!(found.token_ids, expected.token_ids, "{model}, {name}");
            assert_eq!(found.text, expected.text, "{model}, {name}");
            all.push(found.token_ids);
        }
        all.dedup();
        assert_eq!(all.len(), drawn().len(), "each answer is its own");
    }
}
