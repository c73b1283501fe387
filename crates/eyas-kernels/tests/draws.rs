//! Tokens drawn on the GPU against the plain definition in f64: the model is a table whose row `id` holds the logits of what follows `id`.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use burn::tensor::{Int, Tensor};
use eyas_core::{TuningSource, WeightKind};
use eyas_kernels::{
    Adjustments, Choice, DrawSpec, Draws, KernelDevice, MatrixSpec, Recording, Tuning, embed, parity::runner, upload_matrix,
};
use pollster::block_on;
use proptest::prelude::*;

/// Rows of the table; what follows any other token is equally probable, which is all ties.
const ROWS: usize = 12;

const TOKENS: usize = 32;

/// Logits, how to draw, and what was said.
#[derive(Debug, Clone)]
struct Drawing {
    vocab: usize,
    /// Logits are multiples of this: ties where it is large.
    grain: f32,
    spec: DrawSpec,
    adjusts: bool,
    seed: u64,
}

fn drawings() -> impl Strategy<Value = Drawing> {
    let temperature = prop_oneof![1 => Just(0.0_f32), 1 => Just(1e-30), 6 => 0.2_f32..2.0];
    let top_k = prop_oneof![2 => Just(0_usize), 1 => Just(1), 3 => 2_usize..80];
    let top_p = prop_oneof![2 => Just(1.0_f32), 1 => Just(0.0), 4 => 0.05_f32..0.99];
    let min_p = prop_oneof![2 => Just(0.0_f32), 1 => 0.01_f32..0.5];
    let penalties = (0.5_f32..2.0, -1.0_f32..1.0, -0.5_f32..0.5);
    let grain = prop_oneof![Just(1.0_f32), Just(1e-3)];
    // Each vocabulary compiles kernels of its own.
    let vocab = prop_oneof![Just(ROWS), Just(65), Just(1000), Just(2999)];
    (vocab, grain, temperature, top_k, top_p, min_p, penalties, any::<bool>(), any::<u64>()).prop_map(
        |(vocab, grain, temperature, top_k, top_p, min_p, (repetition, presence, frequency), adjusts, seed)| {
            let spec = DrawSpec { temperature, top_k, top_p, min_p, repetition, presence, frequency };
            Drawing { vocab, grain, spec, adjusts, seed }
        },
    )
}

/// Numbers in 0..1 that depend on a seed only.
fn spread(seed: u64, at: u64) -> f64 {
    let mut mixed = seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Drawing {
    /// `[ROWS, vocab]`. Tokens that have a row of their own are likelier.
    fn table(&self) -> Vec<f32> {
        let value = |row: usize, id: usize| {
            let own = if id < ROWS { 5.0 } else { 0.0 };
            let value = 10.0 * spread(self.seed, (row * self.vocab + id) as u64) as f32 - 5.0 + own;
            (value / self.grain).round() * self.grain
        };
        (0..ROWS).flat_map(|row| (0..self.vocab).map(move |id| value(row, id))).collect()
    }

    /// Biases, and tokens of prompt and answer.
    fn adjustments(&self) -> Vec<(f32, u32)> {
        let one = |id: usize| {
            let drawn = |what: u64| spread(!self.seed, 8 * id as u64 + what);
            let bias = if drawn(0) < 0.1 { 6.0 * drawn(1) as f32 - 3.0 } else { 0.0 };
            let bias = if drawn(2) < 0.02 { -1e30 } else { bias };
            let answer = if drawn(3) < 0.1 { 1 + (3.0 * drawn(4)) as u32 } else { 0 };
            (bias, answer | if drawn(5) < 0.2 { Adjustments::IN_PROMPT } else { 0 })
        };
        (0..self.vocab).map(one).collect()
    }

    /// The token that follows: the definition of `eyas_core::GenerateOptions`, with everything sorted.
    fn expected(&self, logits: &[f32], seen: &[(f32, u32)], unit: f64) -> u32 {
        let spec = self.spec;
        let adjusted: Vec<f64> = (logits.iter().zip(seen))
            .map(|(&logit, &(bias, seen))| {
                let mut value = logit;
                if self.adjusts {
                    value += bias;
                    if seen != 0 {
                        value = if value > 0.0 { value / spec.repetition } else { value * spec.repetition };
                    }
                    let count = seen & !Adjustments::IN_PROMPT;
                    if count > 0 {
                        value -= spec.presence + spec.frequency * count as f32;
                    }
                }
                f64::from(value)
            })
            .collect();
        let mut order: Vec<usize> = (0..adjusted.len()).collect();
        order.sort_by(|a, b| adjusted[*b].total_cmp(&adjusted[*a]).then(a.cmp(b)));
        if spec.temperature == 0.0 {
            return order[0] as u32;
        }
        let top = adjusted[order[0]];
        let weight = |id: usize| ((adjusted[id] - top) / f64::from(spec.temperature)).exp();
        if spec.top_k > 0 {
            order.truncate(spec.top_k);
        }
        let enough = order.iter().map(|id| weight(*id)).sum::<f64>() * f64::from(spec.top_p);
        let mut reached = 0.0;
        let end = order.iter().position(|id| {
            reached += weight(*id);
            reached >= enough
        });
        if spec.top_p < 1.0 {
            order.truncate(end.map_or(order.len(), |end| end + 1));
        }
        order.retain(|id| weight(*id) >= f64::from(spec.min_p));
        order.sort_unstable();
        let target = unit * order.iter().map(|id| weight(*id)).sum::<f64>();
        let mut passed = 0.0;
        let mut last = 0;
        for id in order {
            if weight(id) > 0.0 && passed <= target {
                passed += weight(id);
                last = id;
            }
        }
        last as u32
    }
}

/// A recording over a table of logits.
fn recording(device: &KernelDevice, table: &[f32], vocab: usize, choices: usize, choice: Choice) -> Recording {
    let spec = MatrixSpec { rows: table.len() / vocab, cols: vocab, kind: WeightKind::F32, has_bias: false };
    let words = table.iter().map(|value| value.to_bits()).collect();
    let (words, scales) = upload_matrix(device, words, Vec::new(), spec);
    Recording::capture(device, 0, 0, choices, choice, |step: Tensor<1, Int>, held| {
        let logits = embed(words.clone(), scales.clone(), step, 1, 1.0, spec);
        held.push(logits.clone());
        logits
    })
    .unwrap()
}

fn gpu() -> Option<KernelDevice> {
    block_on(KernelDevice::gpu()).map_err(|error| eprintln!("SKIPPED: {error}")).ok()
}

#[test]
fn tokens_are_those_of_the_definition_with_any_number_in_flight() {
    let Some(gpu) = gpu() else { return };
    runner(40, 3)
        .run(&drawings(), |case| {
            let table = case.table();
            let units: Vec<f32> = (0..TOKENS as u64).map(|at| spread(case.seed, !at) as f32).collect();
            for (tuning, in_flight) in [(Tuning::SOFTWARE, 1), (Tuning::SOFTWARE, 16), (Tuning::HARDWARE, 5)] {
                let device = gpu.clone().with_tuning(tuning, TuningSource::Given);
                let recording = recording(&device, &table, case.vocab, case.vocab, Choice::Drawn);
                let mut seen = case.adjustments();
                let mut last = 3_u32;
                let mut done = 0;
                while done < TOKENS {
                    let now = &units[done..TOKENS.min(done + in_flight)];
                    let said = seen.clone();
                    let give = || said.clone();
                    let adjustments = case.adjusts.then_some(Adjustments { answer: 1, tokens: done, table: &give });
                    let draws = Draws { spec: case.spec, units: now, adjustments };
                    let drawn = block_on(recording.replay_drawn(&device, 7 + done, last, &draws)).unwrap();
                    prop_assert_eq!(drawn.len(), now.len());
                    for (id, unit) in drawn.into_iter().zip(now) {
                        let row = last as usize * case.vocab;
                        let logits = table.get(row..row + case.vocab).map_or_else(|| vec![0.0; case.vocab], <[f32]>::to_vec);
                        prop_assert_eq!(id, case.expected(&logits, &seen, f64::from(*unit)), "token {} of {:?}", done, tuning);
                        seen[id as usize].1 += 1;
                        last = id;
                        done += 1;
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn another_answer_brings_its_own_penalties() {
    let Some(gpu) = gpu() else { return };
    let table: Vec<f32> = [4.0, 3.0, 2.0, 1.0].repeat(4);
    let recording = recording(&gpu, &table, 4, 4, Choice::Drawn);
    let spec = DrawSpec { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition: 1.0, presence: 10.0, frequency: 0.0 };
    let draw = |answer, tokens, count: usize, seen: &[(f32, u32)]| {
        let give = || seen.to_vec();
        let draws = Draws { spec, units: &[0.5; 4][..count], adjustments: Some(Adjustments { answer, tokens, table: &give }) };
        block_on(recording.replay_drawn(&gpu, tokens, 0, &draws)).unwrap()
    };
    assert_eq!(draw(1, 0, 2, &[]), [0, 1]);
    // The device counted them itself: this table is not asked for.
    assert_eq!(draw(1, 2, 2, &[(9.0, 0); 4]), [2, 3]);
    assert_eq!(draw(2, 0, 2, &[(0.0, 0), (0.0, 0), (7.0, 0)]), [2, 0]);
    // A count that the device does not have: the table is.
    assert_eq!(draw(2, 3, 1, &[(0.0, 1), (0.0, 1)]), [2]);
}

#[test]
fn ids_beyond_the_choices_and_values_that_are_no_numbers() {
    let Some(gpu) = gpu() else { return };
    let spec = DrawSpec { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition: 1.0, presence: 0.0, frequency: 0.0 };
    for (worst, choices, is_good) in [(0.0, 5, true), (f32::NAN, 5, true), (f32::NAN, 6, false), (f32::INFINITY, 6, false)] {
        let table: Vec<f32> = [0.0, 1.0, 0.5, 0.2, 0.1, worst].repeat(6);
        let recording = recording(&gpu, &table, 6, choices, Choice::Drawn);
        let units: Vec<f32> = (0..16).map(|at| at as f32 / 16.0).collect();
        let drawn = block_on(recording.replay_drawn(&gpu, 0, 0, &Draws { spec, units: &units, adjustments: None }));
        match drawn {
            Ok(ids) => {
                let varies = ids.windows(2).any(|pair| pair[0] != pair[1]);
                assert!(is_good && varies && ids.iter().all(|id| *id < 5), "{ids:?}");
            }
            Err(error) => assert!(!is_good && error.code() == "bad-device", "{error}"),
        }
    }
}

#[test]
fn a_greedy_recording_does_not_draw() {
    let Some(gpu) = gpu() else { return };
    let spec = DrawSpec { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition: 1.0, presence: 0.0, frequency: 0.0 };
    let recording = recording(&gpu, &[1.0, 2.0, 2.0, 1.0], 2, 2, Choice::Greedy);
    assert_eq!(block_on(recording.replay_greedy(&gpu, 0, 0, 2)).unwrap(), [1, 0]);
    let error = block_on(recording.replay_drawn(&gpu, 0, 0, &Draws { spec, units: &[0.5], adjustments: None })).unwrap_err();
    assert_eq!(error.code(), "internal");
}
