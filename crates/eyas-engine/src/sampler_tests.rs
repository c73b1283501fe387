use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn sampler(options: &GenerateOptions) -> Sampler {
    Sampler::new(options, &[], 4, 1).unwrap()
}

/// How often each token is drawn from ln(1), ln(2), ln(3), ln(4): probabilities 0.1, 0.2, 0.3, 0.4.
fn frequencies(options: &GenerateOptions) -> Vec<f64> {
    let logits: Vec<f32> = (1..=4).map(|weight| (weight as f32).ln()).collect();
    let mut sampler = sampler(options);
    let mut counts = vec![0.0; 4];
    for _ in 0..20_000 {
        counts[sampler.sample(&logits).unwrap() as usize] += 1.0 / 20_000.0;
    }
    counts
}

fn close(found: &[f64], expected: &[f64]) {
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 0.015, "found {found:?}, expected {expected:?}");
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    assert_eq!(sampler(&GenerateOptions::default()).sample(&[1.0, 5.0, 5.0, 0.0]).unwrap(), 1);
}

#[test]
fn temperature_one_draws_by_probability() {
    let options = GenerateOptions { temperature: 1.0, ..Default::default() };
    close(&frequencies(&options), &[0.1, 0.2, 0.3, 0.4]);
}

#[test]
fn temperature_one_half_squares_the_odds() {
    let options = GenerateOptions { temperature: 0.5, ..Default::default() };
    close(&frequencies(&options), &[1.0 / 30.0, 4.0 / 30.0, 9.0 / 30.0, 16.0 / 30.0]);
}

#[test]
fn top_k_keeps_the_k_most_probable() {
    let options = GenerateOptions { temperature: 1.0, top_k: 2, ..Default::default() };
    close(&frequencies(&options), &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_it() {
    let options = GenerateOptions { temperature: 1.0, top_p: 0.65, ..Default::default() };
    close(&frequencies(&options), &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    let all_but_one = GenerateOptions { temperature: 1.0, top_p: 0.75, ..Default::default() };
    close(&frequencies(&all_but_one), &[0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0]);
    let one = GenerateOptions { temperature: 1.0, top_p: 0.0, ..Default::default() };
    close(&frequencies(&one), &[0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn top_p_sees_what_top_k_kept() {
    // Of 3/7 and 4/7 the larger alone reaches 0.55; of all four it would not.
    let options = GenerateOptions { temperature: 1.0, top_k: 2, top_p: 0.55, ..Default::default() };
    close(&frequencies(&options), &[0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn min_p_is_relative_to_the_most_probable() {
    let options = GenerateOptions { temperature: 1.0, min_p: 0.6, ..Default::default() };
    close(&frequencies(&options), &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
}

#[test]
fn the_smallest_temperature_is_greedy_and_never_nan() {
    let options = GenerateOptions { temperature: f32::from_bits(1), ..Default::default() };
    close(&frequencies(&options), &[0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_banned_token_is_never_drawn_and_a_forced_one_always() {
    let banned = GenerateOptions { temperature: 1.0, logit_bias: BTreeMap::from([(3, f32::NEG_INFINITY)]), ..Default::default() };
    close(&frequencies(&banned), &[1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 0.0]);
    let forced = GenerateOptions { temperature: 1.0, logit_bias: BTreeMap::from([(0, 200.0)]), ..Default::default() };
    close(&frequencies(&forced), &[1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn penalties_count_the_answer_as_it_grows() {
    let options = GenerateOptions { presence_penalty: 10.0, ..Default::default() };
    let mut sampler = sampler(&options);
    let drawn: Vec<u32> = (0..4).map(|_| sampler.sample(&[4.0, 3.0, 2.0, 1.0]).unwrap()).collect();
    assert_eq!(drawn, [0, 1, 2, 3]);
}

#[test]
fn a_bias_beyond_the_vocabulary_is_bad_input() {
    let options = GenerateOptions { logit_bias: BTreeMap::from([(4, 1.0)]), ..Default::default() };
    assert_eq!(Sampler::new(&options, &[], 4, 1).unwrap_err().code(), "bad-input");
}

#[test]
fn logits_that_are_no_numbers_name_the_device() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = sampler(&GenerateOptions::default()).sample(&[0.0, bad, 0.0, 0.0]).unwrap_err();
        assert_eq!(error.code(), "bad-device");
        assert!(error.detail().contains("token 1"), "{error}");
    }
    assert_eq!(sampler(&GenerateOptions::default()).sample(&[]).unwrap_err().code(), "internal");
}

proptest! {
    /// Growing the sorted head step by step gives what sorting everything gives.
    #[test]
    fn top_p_equals_the_plain_definition(logits in prop::collection::vec(-3.0_f32..3.0, 1..900), top_p in 0.0_f32..1.0) {
        let mut kept = Kept::new(&logits, 1.0, 0);
        let weights = kept.weights.clone();
        let enough = kept.sum() * f64::from(top_p);
        kept.keep_top_p(top_p);

        let mut sorted: Vec<u32> = (0..logits.len() as u32).collect();
        sorted.sort_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b)));
        let mut reached = 0.0;
        let mut expected = Vec::new();
        for id in sorted {
            expected.push(id);
            reached += weights[id as usize];
            if reached >= enough { break; }
        }
        prop_assert_eq!(kept.ids, expected);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens(seed: u64, logits in prop::collection::vec(-5.0_f32..5.0, 4)) {
        let options = GenerateOptions { temperature: 0.8, top_p: 0.9, ..Default::default() };
        let draw = || {
            let mut sampler = Sampler::new(&options, &[], 4, seed).unwrap();
            (0..16).map(|_| sampler.sample(&logits).unwrap()).collect::<Vec<_>>()
        };
        prop_assert_eq!(draw(), draw());
    }
}

#[test]
fn ids_without_a_token_are_never_chosen() {
    // A hole at 1, and padding at 4 and 5.
    let unknown: Rc<[u32]> = Rc::from([1, 4, 5]);
    let logits = [1.0, 9.0, 2.0, 1.5, 8.0, 7.0];
    let greedy = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
    assert_eq!(Sampler::new(&greedy, &[], 6, 1).unwrap().without(&unknown).sample(&logits).unwrap(), 2);
    let hot = GenerateOptions { temperature: 50.0, repetition_penalty: 1.5, ..GenerateOptions::default() };
    let mut sampler = Sampler::new(&hot, &[5], 6, 1).unwrap().without(&unknown);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        seen.insert(sampler.sample(&logits).unwrap());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 2, 3]);
}
