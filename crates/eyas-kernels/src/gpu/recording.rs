//! A decode step recorded once and replayed: no bind group, buffer or pipeline is made for a replayed token.

use std::cell::{Cell, OnceCell};

use burn::tensor::{Int, Tensor};
use eyas_core::{Error, Result};

use super::{
    kept_read::KeptRead,
    picker::{Picker, RING},
    recorded::Recorded,
};
use crate::{Choice, Draws, KernelDevice, operations::step_words, write_step};

/// A recorded step of one token.
pub struct Recording {
    recorded: Recorded,
    /// Made when the output is first read.
    read: OnceCell<KeptRead>,
    picker: Picker,
    /// The position and id that the picker left in the step tensor, where they are known.
    next: Cell<Option<(usize, u32)>>,
}

impl Recording {
    /// Tokens that may be in flight at once.
    pub const MAX_IN_FLIGHT: usize = RING;

    /// Runs `step` twice, the second time recording instead of computing. `step` gets the step tensor `[position, 1, id]` and returns the output;
    /// it must push every activation that it makes into the vector, and neither read nor write from the host. The output is `[1, vocab]`; ids below
    /// `choices`, which is at most that, may be chosen as `choice` says.
    pub fn capture(
        device: &KernelDevice,
        position: usize,
        id: u32,
        choices: usize,
        choice: Choice,
        step: impl FnMut(Tensor<1, Int>, &mut Vec<Tensor<2>>) -> Tensor<2>,
    ) -> Result<Self> {
        let context = device.gpu_context().ok_or_else(|| Error::internal("a step is recorded on a device without a GPU"))?;
        let (recorded, picker) = Recorded::capture(
            &write_step(device, position, &[id], 1),
            |like| Picker::new(like, choices, choice, context),
            step,
            |picker, output, step| picker.launch(output, step, device.tuning()),
        )?;
        Ok(Self { recorded, read: OnceCell::new(), picker, next: Cell::new(None) })
    }

    /// Computes the step for another position and id, and reads its output back; for a greedy recording, since a draw changes the output.
    pub async fn replay(&self, device: &KernelDevice, position: usize, id: u32) -> Result<Vec<f32>> {
        let read = if let Some(read) = self.read.get() {
            read
        } else {
            let context = device.gpu_context().ok_or_else(|| Error::internal("a step is replayed on a device without a GPU"))?;
            let made = KeptRead::new(self.recorded.output.clone(), context)?;
            self.read.get_or_init(|| made)
        };
        self.submit(position, id, 1)?;
        Ok(bytemuck::cast_vec(read.read(device).await?))
    }

    /// Computes `count` steps, each with the most probable token of the one before it (the lowest id among equals), and reads back only the
    /// tokens: those that follow positions `position..position + count`. `count` is at most [`Self::MAX_IN_FLIGHT`].
    pub async fn replay_greedy(&self, device: &KernelDevice, position: usize, id: u32, count: usize) -> Result<Vec<u32>> {
        let count = count.clamp(1, Self::MAX_IN_FLIGHT);
        self.submit(position, id, count)?;
        let picked = self.picker.read(device, position, count).await?;
        self.next.set(picked.last().map(|id| (position + count, *id)));
        Ok(picked)
    }

    /// As [`Recording::replay_greedy`], but each token is drawn; `draws` has a unit for each of them. Only for a recording that draws.
    pub async fn replay_drawn(&self, device: &KernelDevice, position: usize, id: u32, draws: &Draws<'_>) -> Result<Vec<u32>> {
        let drawer = self.picker.drawer.as_ref().ok_or_else(|| Error::internal("a greedy recording was asked to draw"))?;
        drawer.prepare(position, draws);
        self.replay_greedy(device, position, id, draws.units.len()).await
    }

    fn submit(&self, position: usize, id: u32, count: usize) -> Result<()> {
        if self.next.take() != Some((position, id)) {
            self.recorded.write(step_words(position, &[id], 1));
        }
        (0..count).try_for_each(|_| self.recorded.replay())
    }
}
