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
        let row = logits.meta.shape()[1];
        let chunk = Kernel::PickChunk { vocab, row, chunks: CHUNKS, adjusts: self.drawer.is_some(), lanes };
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
        checked(picked)
    }
}

/// Ids that were picked; fails with `bad-device` where logits were no finite numbers.
fn checked(picked: Vec<u32>) -> Result<Vec<u32>> {
    if picked.contains(&BAD) {
        return Err(Error::new(ErrorKind::BadDevice, "a logit is not a finite number; load the model on another device"));
    }
    Ok(picked)
}

/// The buffers of the choice of the best token of each of a few rows of logits.
pub(super) struct RowPicker {
    chunks: CubeTensor,
    /// The token of each row.
    picked: KeptRead,
    /// Ids below this may be chosen.
    vocab: usize,
}

impl RowPicker {
    /// Allocates on the device of `like`, for a choice among ids below `vocab` in each of `rows` rows.
    pub(super) fn new(like: &CubeTensor, vocab: usize, rows: usize, context: &GpuContext) -> Result<Self> {
        let picked = KeptRead::new(words(like, rows), context)?;
        Ok(Self { chunks: words(like, 2 * CHUNKS as usize * rows), picked, vocab })
    }

    /// Launches the choice from `logits` `[rows, vocab or more]`.
    pub(super) fn launch(&self, logits: &CubeTensor, tuning: Tuning) {
        let (vocab, row, lanes) = (self.vocab, logits.meta.shape()[1], tuning.reduce_lanes);
        let rows = logits.meta.shape()[0] as u32;
        let chunk = Kernel::PickChunk { vocab, row, chunks: CHUNKS, adjusts: false, lanes };
        launch(logits, chunk, [CHUNKS, rows, 1], &[&self.chunks.handle, &logits.handle]);
        let buffers = [&self.chunks.handle, &self.picked.tensor().handle];
        launch(logits, Kernel::PickRows { chunks: CHUNKS, lanes }, [rows, 1, 1], &buffers);
    }

    /// Reads the tokens of all rows, and returns what follows a token when `guess` was computed behind it: the guesses that came true, and one more.
    pub(super) async fn read_after(&self, device: &KernelDevice, guess: &[u32]) -> Result<Vec<u32>> {
        let mut picked = self.picked.read(device).await?;
        let came_true = picked.iter().zip(guess).take_while(|(picked, guess)| picked == guess).count();
        picked.truncate(came_true + 1);
        checked(picked)
    }
}

/// Zeros on the device of `like`.
pub(super) fn words(like: &CubeTensor, count: usize) -> CubeTensor {
    let handle = like.client.create(Bytes::from_elems(vec![0_u32; count]));
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), Shape::new([count]), handle, DType::U32)
}
