//! Greedy choice where the logits are: the most probable token becomes the input of the next step without leaving the GPU.

use burn::{
    backend::wgpu::CubeTensor,
    tensor::{Bytes, DType, Shape},
};
use eyas_core::{Error, ErrorKind, Result};

use super::{backend::launch, device_setup::GpuContext, kernel::Kernel, small_read::SmallRead};
use crate::{KernelDevice, Tuning};

/// Picked tokens that the host may leave unread: 64 bytes.
pub(super) const RING: usize = 16;

/// Parts of the vocabulary that are searched side by side.
const CHUNKS: u32 = 64;

/// What a logit that is not finite leaves in the ring.
const BAD: u32 = u32::MAX;

/// The buffers of the choice.
pub(super) struct Picker {
    chunks: CubeTensor,
    /// The token picked at position `p` is in word `p % RING`.
    ring: SmallRead,
}

impl Picker {
    /// Allocates on the device of `like`.
    pub(super) fn new(like: &CubeTensor, context: &GpuContext) -> Result<Self> {
        let words = |count: usize| {
            let handle = like.client.create(Bytes::from_elems(vec![0_u32; count]));
            CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), Shape::new([count]), handle, DType::U32)
        };
        Ok(Self { chunks: words(2 * CHUNKS as usize), ring: SmallRead::new(words(RING), context)? })
    }

    /// Launches the choice among the first `choices` of `logits` `[1, vocab]` (the lowest id among equals; 0 stands for all). `step` then holds the next position and the token picked.
    pub(super) fn launch(&self, logits: &CubeTensor, choices: usize, step: &CubeTensor, tuning: Tuning) {
        let all = logits.meta.shape().num_elements();
        let (vocab, lanes) = (if choices == 0 { all } else { choices.min(all) }, tuning.reduce_lanes);
        let chunk = Kernel::PickChunk { vocab, chunks: CHUNKS, lanes };
        launch(logits, chunk, [CHUNKS, 1, 1], &[&logits.handle, &self.chunks.handle]);
        let best = Kernel::PickBest { chunks: CHUNKS, lanes };
        launch(logits, best, [1, 1, 1], &[&self.chunks.handle, &step.handle, &self.ring.tensor().handle]);
    }

    /// Reads the tokens that were picked at `count` positions from `position` on.
    pub(super) async fn read(&self, device: &KernelDevice, position: usize, count: usize) -> Result<Vec<u32>> {
        let ring = self.ring.read(device).await?;
        let picked: Vec<u32> = (position..position + count).map(|at| ring[at % RING]).collect();
        if picked.contains(&BAD) {
            return Err(Error::new(ErrorKind::BadDevice, "a logit is not a finite number; load the model on another device"));
        }
        Ok(picked)
    }
}
