//! Draws where the logits are: biases, penalties and filters on the GPU, so that a drawn token becomes the input of the next step without leaving it.

use std::cell::Cell;

use burn::{backend::wgpu::CubeTensor, tensor::Bytes};

use super::picker::{RING, words};
use crate::draw::Draws;

/// The words of `parameters`: flags, inverse temperature, k, p, min-p, three penalties, and for each place of the ring where in the mass its token lies.
const PARAMETERS: usize = 8;

const ADJUST: u32 = 1;
const TOP_K: u32 = 2;
const TOP_P: u32 = 4;

/// Below this a temperature leaves nothing but the largest logit, and its inverse would not be a number.
const COLDEST: f32 = 1e-20;

/// The buffers of the draws.
pub(super) struct Drawer {
    pub(super) parameters: CubeTensor,
    /// For each id a bias, and how often it is in the answer.
    pub(super) adjustments: CubeTensor,
    vocab: usize,
    /// The answer whose adjustments are on the GPU, and how many of its tokens they count.
    counted: Cell<Option<(u64, usize)>>,
}

impl Drawer {
    /// Allocates on the device of `like`, for a vocabulary.
    pub(super) fn new(like: &CubeTensor, vocab: usize) -> Self {
        Self { parameters: words(like, PARAMETERS + RING), adjustments: words(like, 2 * vocab), vocab, counted: Cell::new(None) }
    }

    /// Tells the GPU how the tokens that follow positions from `position` on are to be drawn.
    pub(super) fn prepare(&self, position: usize, draws: &Draws) {
        let spec = draws.spec;
        let greedy = spec.temperature == 0.0;
        let top_k = if greedy { 1 } else { spec.top_k };
        let mut flags = 0;
        if (1..self.vocab).contains(&top_k) {
            flags |= TOP_K;
        }
        if !greedy && spec.top_p < 1.0 {
            flags |= TOP_P;
        }
        if let Some(adjustments) = draws.adjustments {
            flags |= ADJUST;
            let now = (adjustments.answer, adjustments.tokens);
            if self.counted.replace(Some((now.0, now.1 + draws.units.len()))) != Some(now) {
                let mut table = vec![0; 2 * self.vocab];
                for (pair, (bias, seen)) in table.chunks_exact_mut(2).zip((adjustments.table)()) {
                    pair.copy_from_slice(&[bias.to_bits(), seen]);
                }
                write(&self.adjustments, table);
            }
        }
        let inverse_temperature = if greedy { 1.0 } else { 1.0 / spec.temperature.max(COLDEST) };
        let numbers = [inverse_temperature, top_k as f32, spec.top_p, spec.min_p, spec.repetition, spec.presence, spec.frequency];
        let mut parameters: Vec<u32> = [flags].into_iter().chain(numbers.map(f32::to_bits)).collect();
        parameters.resize(PARAMETERS + RING, 0);
        for (at, unit) in (position..).zip(draws.units) {
            parameters[PARAMETERS + at % RING] = unit.to_bits();
        }
        write(&self.parameters, parameters);
    }
}

fn write(tensor: &CubeTensor, words: Vec<u32>) {
    tensor.client.write(&tensor.handle, Bytes::from_elems(words));
}
