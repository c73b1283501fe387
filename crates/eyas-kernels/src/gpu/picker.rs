//! The choice of a token where the logits are: it becomes the input of the next step without leaving the GPU.

use burn::{
    backend::wgpu::CubeTensor,
    tensor::{Bytes, DType, Shape},
};
use eyas_core::{Error, ErrorKind, Result};

use super::{backend::launch, device_setup::GpuContext, drawer::Drawer, kept_read::KeptRead, kernel::Kernel};
use crate::{Choice, KernelDevice, Tuning};

/// Picked tokens that the host may leave unread: 64 bytes.
pub(super) const RING: usize = 16;

/// Parts of the vocabulary that are searched side by side.
const CHUNKS: u32 = 64;

/// Threads that draw a token, where barriers are cheap.
const DRAW_LANES: u32 = 256;

/// What a logit that is not finite leaves in the ring.
const BAD: u32 = u32::MAX;

/// The buffers of the choice.
pub(super) struct Picker {
    chunks: CubeTensor,
    /// The token picked at position `p` is in word `p % RING`.
    ring: KeptRead,
    /// Ids below this may be chosen.
    vocab: usize,
    /// Present where tokens are drawn.
    pub(super) drawer: Option<Drawer>,
}

impl Picker {
    /// Allocates on the device of `like`, for a choice among ids below `vocab`.
    pub(super) fn new(like: &CubeTensor, vocab: usize, choice: Choice, context: &GpuContext) -> Result<Self> {
        let drawer = (choice == Choice::Drawn).then(|| Drawer::new(like, vocab));
        let ring = KeptRead::new(words(like, RING), context)?;
        Ok(Self { chunks: words(like, 2 * CHUNKS as usize), ring, vocab, drawer })
    }

    /// Launches the choice from `logits` `[1, vocab or more]`. `step` then holds the next position and the token picked. A draw changes the logits.
    pub(super) fn launch(&self, logits: &CubeTensor, step: &CubeTensor, tuning: Tuning) {
        let (vocab, lanes, ring) = (self.vocab, tuning.reduce_lanes, &self.ring.tensor().handle);
        let chunk = Kernel::PickChunk { vocab, chunks: CHUNKS, adjusts: self.drawer.is_some(), lanes };
        let buffers = [&self.chunks.handle, &logits.handle];
        let Some(drawer) = &self.drawer else {
            launch(logits, chunk, [CHUNKS, 1, 1], &buffers);
            launch(logits, Kernel::PickBest { chunks: CHUNKS, lanes }, [1, 1, 1], &[&self.chunks.handle, &step.handle, ring]);
            return;
        };
        let (adjustments, parameters) = (&drawer.adjustments.handle, &drawer.parameters.handle);
        launch(logits, chunk, [CHUNKS, 1, 1], &[buffers[0], buffers[1], adjustments, parameters]);
        let lanes = if lanes < Tuning::HARDWARE.reduce_lanes { lanes } else { DRAW_LANES };
        let buffers = [&self.chunks.handle, &step.handle, ring, &logits.handle, adjustments, parameters];
        launch(logits, Kernel::Draw { vocab, chunks: CHUNKS, lanes }, [1, 1, 1], &buffers);
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

/// Zeros on the device of `like`.
pub(super) fn words(like: &CubeTensor, count: usize) -> CubeTensor {
    let handle = like.client.create(Bytes::from_elems(vec![0_u32; count]));
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), Shape::new([count]), handle, DType::U32)
}
