//! From logits to the next token.
//!
//! The order is that of [`GenerateOptions`]: logit bias, repetition penalty, presence and frequency penalties, (greedy ends here)
//! temperature, top-k, top-p, min-p, draw. Each filter sees the probabilities of what the one before it kept, renormalised (top-k:
//! Fan et al., arXiv 1805.04833; top-p: Holtzman et al., arXiv 1904.09751; min-p: arXiv 2407.01082). Among equally probable tokens
//! the lower id comes first; the draw walks what was kept from the lowest id to the highest.

use std::rc::Rc;

use eyas_core::{Error, ErrorKind, GenerateOptions, Result};
use eyas_kernels::{DrawSpec, Draws, first_largest, first_not_finite};

use crate::{logprobs::largest, penalties::Penalties, random::Random};

/// How many of the most probable tokens are sorted at first; more are, by factors of 8, while top-p is not reached.
const FIRST_SORTED: usize = 64;

/// Chooses tokens as the options say.
#[derive(Debug)]
pub struct Sampler {
    penalties: Penalties,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    random: Random,
    scratch: Vec<f32>,
    /// Ids that no token stands behind, ascending.
    unknown: Rc<[u32]>,
}

impl Sampler {
    /// A sampler for an answer to `prompt_ids`; fails with `bad-input` where a bias names a token beyond `vocab_size`.
    pub fn new(options: &GenerateOptions, prompt_ids: &[u32], vocab_size: usize, seed: u64) -> Result<Self> {
        options.validate()?;
        if let Some((&id, _)) = options.logit_bias.iter().next_back().filter(|(id, _)| **id as usize >= vocab_size) {
            return Err(Error::bad_input(format!(
                "logitBias names token {id}, but the vocabulary has ids 0 to {}",
                vocab_size - 1
            )));
        }
        Ok(Self {
            penalties: Penalties::new(options, prompt_ids),
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
            random: Random::new(seed),
            scratch: Vec::new(),
            unknown: Rc::default(),
        })
    }

    /// The same sampler, which never chooses one of these ids (ascending).
    #[must_use]
    pub fn without(self, unknown: &Rc<[u32]>) -> Self {
        Self { unknown: unknown.clone(), ..self }
    }

    /// Chooses the next token from `logits` `[vocab]` and counts it as part of the answer.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        check(logits)?;
        let mut changed = std::mem::take(&mut self.scratch);
        let known = logits.len() - padding(&self.unknown, logits.len());
        let has_holes = self.unknown.len() > logits.len() - known;
        let logits = if self.penalties.is_neutral() && !has_holes {
            &logits[..known]
        } else {
            changed.clear();
            changed.extend_from_slice(logits);
            self.penalties.apply(&mut changed);
            for id in self.unknown.iter() {
                changed[*id as usize] = f32::NEG_INFINITY;
            }
            &changed[..known]
        };
        let id = if self.temperature == 0.0 { first_largest(logits) as u32 } else { self.draw(logits) };
        self.scratch = changed;
        self.penalties.accept(id);
        Ok(id)
    }

    /// Whether it always chooses the most probable token, the lowest id among equals: then the device may choose.
    pub fn is_plain_greedy(&self) -> bool {
        self.temperature == 0.0 && self.penalties.is_neutral()
    }

    /// For each of the next tokens where in the probability mass it lies. They are used up: the device draws with them.
    pub(crate) fn units(&mut self, count: usize) -> Vec<f32> {
        const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;
        (0..count).map(|_| (self.random.next_unit() as f32).min(BELOW_ONE)).collect()
    }

    /// What a device needs to draw tokens by itself, with `table` from [`Sampler::adjustment_table`].
    pub(crate) fn draws<'a>(&self, units: &'a [f32], table: &'a dyn Fn() -> Vec<(f32, u32)>) -> Draws<'a> {
        let Self { temperature, top_k, top_p, min_p, .. } = *self;
        let spec = DrawSpec { temperature, top_k, top_p, min_p, repetition: 1.0, presence: 0.0, frequency: 0.0 };
        Draws { spec: self.penalties.fill(spec), units, adjustments: self.penalties.adjustments(table) }
    }

    /// Biases and uses of tokens by id.
    pub(crate) fn adjustment_table(&self) -> Vec<(f32, u32)> {
        self.penalties.table()
    }

    /// Counts tokens that the device drew as part of the answer.
    pub(crate) fn accept_ahead(&mut self, ids: &[u32]) {
        for id in ids {
            self.penalties.accept(*id);
        }
    }

    fn draw(&mut self, logits: &[f32]) -> u32 {
        let mut kept = Kept::new(logits, self.temperature, self.top_k);
        kept.keep_top_p(self.top_p);
        kept.keep_min_p(self.min_p);
        kept.pick(self.random.next_unit())
    }
}

/// The tokens that the filters kept, with weights proportional to their probabilities.
struct Kept {
    ids: Vec<u32>,
    weights: Vec<f64>, // [vocab], exp((logit - max) / temperature)
}

impl Kept {
    fn new(logits: &[f32], temperature: f32, top_k: usize) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // The maximum is subtracted before the division, so that a tiny temperature overflows to a weight of 0 at worst.
        let weights = logits.iter().map(|&logit| (f64::from(logit - max) / f64::from(temperature)).exp()).collect();
        let all = top_k == 0 || top_k >= logits.len();
        let ids = if all { (0..logits.len() as u32).collect() } else { largest(logits, top_k) };
        Self { ids, weights }
    }

    fn sum(&self) -> f64 {
        self.ids.iter().map(|&id| self.weights[id as usize]).sum()
    }

    /// Keeps the smallest set of the most probable tokens whose probabilities sum to at least `top_p`.
    fn keep_top_p(&mut self, top_p: f32) {
        if top_p >= 1.0 {
            return;
        }
        let enough = self.sum() * f64::from(top_p);
        let weights = &self.weights;
        let by_weight = |a: &u32, b: &u32| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b));
        let mut sorted = FIRST_SORTED;
        loop {
            if sorted < self.ids.len() {
                self.ids.select_nth_unstable_by(sorted, by_weight);
            }
            let head = sorted.min(self.ids.len());
            self.ids[..head].sort_unstable_by(by_weight);
            let mut reached = 0.0;
            let end = self.ids[..head].iter().position(|&id| {
                reached += weights[id as usize];
                reached >= enough
            });
            if let Some(end) = end {
                self.ids.truncate(end + 1);
                return;
            }
            if head == self.ids.len() {
                return;
            }
            sorted *= 8;
        }
    }

    /// Keeps tokens that are at least `min_p` times as probable as the most probable one.
    fn keep_min_p(&mut self, min_p: f32) {
        if min_p > 0.0 {
            let weights = &self.weights;
            let most = self.ids.iter().map(|&id| weights[id as usize]).fold(0.0, f64::max);
            self.ids.retain(|&id| weights[id as usize] >= most * f64::from(min_p));
        }
    }

    /// The token at `unit` (in [0, 1)) of the kept probability mass.
    fn pick(&mut self, unit: f64) -> u32 {
        self.ids.sort_unstable();
        let target = unit * self.sum();
        let mut passed = 0.0;
        let mut last = 0;
        for &id in self.ids.iter().filter(|id| self.weights[**id as usize] > 0.0) {
            passed += self.weights[id as usize];
            last = id;
            if target < passed {
                break;
            }
        }
        last
    }
}

/// How many of the last of `count` ids are in the ascending list.
fn padding(unknown: &[u32], count: usize) -> usize {
    unknown.iter().rev().zip((0..count).rev()).take_while(|(id, last)| **id as usize == *last).count()
}

/// The number of ids, from 0 on, of which a device may choose any by itself; 0 where it could meet an unknown id among them.
pub(crate) fn plain_choices(unknown: &[u32], vocab_size: usize) -> usize {
    let padding = padding(unknown, vocab_size);
    if padding == unknown.len() { vocab_size - padding } else { 0 }
}

/// A device that computes wrongly mostly shows by values that are no numbers; a token must not be made of them.
fn check(logits: &[f32]) -> Result<()> {
    match first_not_finite(logits) {
        None if !logits.is_empty() => Ok(()),
        None => Err(Error::internal("the model returned no logits; expected one for every token of the vocabulary")),
        Some(id) => Err(Error::new(
            ErrorKind::BadDevice,
            format!("the logit of token {id} is {}, expected a finite number; load the model on another device", logits[id]),
        )),
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
