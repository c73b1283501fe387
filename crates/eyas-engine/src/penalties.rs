//! What lowers the logits of tokens that were used before, and what the caller adds to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use eyas_core::GenerateOptions;
use eyas_kernels::{Adjustments, DrawSpec};

/// A bias beyond this would only overflow; it already bans or forces a token.
const BIAS_LIMIT: f32 = 1e30;

/// Logit bias, repetition, presence and frequency penalties, with the tokens that they look at.
#[derive(Debug)]
pub struct Penalties {
    /// Tells one answer's from another's.
    id: u64,
    /// Tokens of the answer so far.
    tokens: usize,
    bias: BTreeMap<u32, f32>,
    repetition: f32,
    presence: f32,
    frequency: f32,
    prompt: BTreeSet<u32>,
    answer: BTreeMap<u32, u32>,
}

impl Penalties {
    /// The penalties of `options` for an answer to `prompt_ids`.
    pub fn new(options: &GenerateOptions, prompt_ids: &[u32]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut bias = options.logit_bias.clone();
        for bias in bias.values_mut() {
            *bias = bias.clamp(-BIAS_LIMIT, BIAS_LIMIT);
        }
        let mut prompt = BTreeSet::new();
        prompt.extend(prompt_ids);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tokens: 0,
            bias,
            repetition: options.repetition_penalty,
            presence: options.presence_penalty,
            frequency: options.frequency_penalty,
            prompt,
            answer: BTreeMap::new(),
        }
    }

    /// Whether logits pass through unchanged.
    #[allow(clippy::float_cmp)] // the exact values that turn each one off
    pub fn is_neutral(&self) -> bool {
        self.bias.is_empty() && self.repetition == 1.0 && self.presence == 0.0 && self.frequency == 0.0
    }

    /// Counts a token of the answer.
    pub fn accept(&mut self, id: u32) {
        self.tokens += 1;
        *self.answer.entry(id).or_default() += 1;
    }

    /// What a device needs to apply the same to logits of its own; nothing where they pass through unchanged.
    pub(crate) fn adjustments<'a>(&self, table: &'a dyn Fn() -> Vec<(f32, u32)>) -> Option<Adjustments<'a>> {
        (!self.is_neutral()).then_some(Adjustments { answer: self.id, tokens: self.tokens, table })
    }

    /// For each of the first ids, up to the largest that is concerned, its bias and how often it was used; see [`Adjustments::table`].
    pub(crate) fn table(&self) -> Vec<(f32, u32)> {
        let last = [self.bias.keys().next_back(), self.prompt.last(), self.answer.keys().next_back()].into_iter().flatten().max();
        let mut table = vec![(0.0, 0); last.map_or(0, |id| *id as usize + 1)];
        for (&id, &bias) in &self.bias {
            table[id as usize].0 = bias;
        }
        for (&id, &count) in &self.answer {
            table[id as usize].1 = count;
        }
        for &id in &self.prompt {
            table[id as usize].1 |= Adjustments::IN_PROMPT;
        }
        table
    }

    /// The penalties of a draw.
    pub(crate) fn fill(&self, spec: DrawSpec) -> DrawSpec {
        DrawSpec { repetition: self.repetition, presence: self.presence, frequency: self.frequency, ..spec }
    }

    /// Changes `logits` `[vocab]` in this order: bias; repetition (divides a positive logit, multiplies a negative one, once for each
    /// token of prompt or answer); presence (subtracted once for each token of the answer); frequency (subtracted for each time).
    pub fn apply(&self, logits: &mut [f32]) {
        for (&id, &bias) in &self.bias {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit += bias;
            }
        }
        #[allow(clippy::float_cmp)] // exactly 1 is off
        if self.repetition != 1.0 {
            let only_answer = self.answer.keys().filter(|id| !self.prompt.contains(id));
            for &id in self.prompt.iter().chain(only_answer) {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = if *logit > 0.0 { *logit / self.repetition } else { *logit * self.repetition };
                }
            }
        }
        for (&id, &count) in &self.answer {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit -= self.presence + self.frequency * count as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(options: &GenerateOptions, prompt: &[u32], answer: &[u32], logits: &[f32]) -> Vec<f32> {
        let mut penalties = Penalties::new(options, prompt);
        for &id in answer {
            penalties.accept(id);
        }
        let mut logits = logits.to_vec();
        penalties.apply(&mut logits);
        logits
    }

    #[test]
    fn repetition_divides_positive_and_multiplies_negative_logits_once() {
        let options = GenerateOptions { repetition_penalty: 2.0, ..Default::default() };
        let logits = applied(&options, &[0, 0, 1], &[1, 2], &[4.0, -4.0, 6.0, 8.0]);
        assert_eq!(logits, [2.0, -8.0, 3.0, 8.0]);
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time_and_the_prompt_never() {
        let options = GenerateOptions { presence_penalty: 1.0, frequency_penalty: 0.5, ..Default::default() };
        let logits = applied(&options, &[0], &[1, 2, 2], &[5.0, 5.0, 5.0]);
        assert_eq!(logits, [5.0, 3.5, 3.0]);
    }

    #[test]
    fn bias_comes_before_the_repetition_penalty() {
        let options = GenerateOptions {
            repetition_penalty: 2.0,
            logit_bias: BTreeMap::from([(0, 3.0), (1, f32::NEG_INFINITY)]),
            ..Default::default()
        };
        let logits = applied(&options, &[0], &[], &[1.0, 1.0]);
        assert_eq!(logits[0], 2.0);
        assert!(logits[1] < -1e29 && logits[1].is_finite());
    }

    #[test]
    fn defaults_are_neutral() {
        assert!(Penalties::new(&GenerateOptions::default(), &[1, 2]).is_neutral());
    }
}
