//! A step of a token and those that are guessed to follow it, recorded once and replayed.

use burn::tensor::{Int, Tensor};
use eyas_core::{Error, Result};

use super::{one_by_one::one_by_one, picker::RowPicker, recorded::Recorded, staging::read_floats};
use crate::{KernelDevice, operations::step_words, write_step};

/// A recorded step of several tokens, which computes of each what [`crate::Recording`] does: the same sums in the same order. Whether the adapter's driver
/// rounds them alike is for the caller to find out ([`GuessRecording::replay`]).
pub struct GuessRecording {
    recorded: Recorded,
    picker: RowPicker,
}

impl GuessRecording {
    /// Tokens of a step. Fewer take as long.
    pub const TOKENS: usize = 8;

    /// As [`crate::Recording::capture`], with a step tensor `[position, count, ids…, 0…]` that has room for [`Self::TOKENS`] ids, and an output of as many
    /// rows. It begins with the step of `id` alone, which writes keys and values at `position`.
    pub fn capture(
        device: &KernelDevice,
        position: usize,
        id: u32,
        choices: usize,
        mut step: impl FnMut(Tensor<1, Int>, &mut Vec<Tensor<2>>) -> Tensor<2>,
    ) -> Result<Self> {
        let context = device.gpu_context().ok_or_else(|| Error::internal("a step is recorded on a device without a GPU"))?;
        let (recorded, picker) = Recorded::capture(
            &write_step(device, position, &[id], Self::TOKENS),
            |like| RowPicker::new(like, choices, Self::TOKENS, context),
            |words, held| one_by_one(|| step(words, held)),
            |picker, output, _| picker.launch(output, device.tuning()),
        )?;
        Ok(Self { recorded, picker })
    }

    /// Computes `ids` from `position` on, and reads back the logits of each, `[ids, vocab]`.
    pub async fn replay(&self, device: &KernelDevice, position: usize, ids: &[u32]) -> Result<Vec<f32>> {
        self.submit(position, ids)?;
        let mut logits = read_floats(device, &self.recorded.output).await?;
        logits.truncate(logits.len() / Self::TOKENS * ids.len());
        Ok(logits)
    }

    /// Computes `id` at `position` and `guess` behind it, and reads back only tokens: those of the guess that the most probable ones (the lowest id among
    /// equals) confirm, and the one that follows them.
    pub async fn replay_greedy(&self, device: &KernelDevice, position: usize, id: u32, guess: &[u32]) -> Result<Vec<u32>> {
        self.submit(position, &[&[id], guess].concat())?;
        self.picker.read_after(device, guess).await
    }

    fn submit(&self, position: usize, ids: &[u32]) -> Result<()> {
        if ids.len() > Self::TOKENS {
            return Err(Error::internal(format!("{} tokens in a step of {}", ids.len(), Self::TOKENS)));
        }
        self.recorded.write(step_words(position, ids, Self::TOKENS));
        self.recorded.replay()
    }
}
