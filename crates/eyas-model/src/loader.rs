//! Reads a checkpoint's tensors in file order into modules: names and shapes are checked before the first weight is read.

use eyas_core::{Error, LoadPhase, Progress, Quantize, Result, WeightKind};
use eyas_kernels::{KernelDevice, MatrixUpload, Uploads};
use eyas_weights::{Checkpoint, TensorInfo};

use crate::{
    DecoderConfig, RopeScaling,
    decoder::{LoadPlan, Weights},
    layout::Layout,
    matrix_builder::{MatrixBuilder, Rows},
    module_parts::ModuleParts,
    tensor_names::{Divisors, MatrixSlot, Slot},
};

/// Stored bytes that are read and packed at a time. A model's fingerprint depends on it ([`eyas_weights::Fingerprint`]): it is the same on every device.
const CHUNK_BYTES: u64 = 1 << 20;

/// What a load makes.
pub(crate) struct Loaded {
    pub(crate) config: DecoderConfig,
    pub(crate) weights: Weights,
    pub(crate) matrix_kind: WeightKind,
}

/// See [`crate::Decoder::load`].
pub(crate) async fn load(
    checkpoint: &Checkpoint,
    config: DecoderConfig,
    device: &KernelDevice,
    plan: &LoadPlan<'_>,
) -> Result<Loaded> {
    let mut layout = Layout::check(checkpoint, config, plan.quantize)?;
    let matrix_kind = layout.matrix_kind();
    let mut parts = ModuleParts::default();
    let mut reader = MatrixReader { checkpoint, plan, uploads: Uploads::new(device) };
    let mut config = layout.config.clone();
    let mut loaded_bytes = 0;
    let total_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
    for (tensor, place) in checkpoint.tensors().iter().zip(layout.places.clone()) {
        plan.cancel.check()?;
        let report = |loaded_bytes: u64| {
            plan.progress.report(Progress { phase: LoadPhase::Weights, loaded_bytes, total_bytes, detail: tensor.name.clone() });
        };
        match place {
            Slot::Ignored => {}
            Slot::Norm(norm) => {
                parts.norms.insert(norm, floats(checkpoint, tensor).await?);
            }
            Slot::RopeDivisors(which) => take_divisors(&mut config, which, floats(checkpoint, tensor).await?)?,
            Slot::Bias { matrix, part } => {
                let bias = floats(checkpoint, tensor).await?;
                layout.part(matrix, part)?.bias = Some(bias);
                finish_if_complete(&mut layout, matrix, &mut reader.uploads, &mut parts).await?;
            }
            Slot::Matrix { matrix, part } => {
                let builder = layout.builder(matrix)?;
                reader.read(tensor, (builder, part), &format!("{matrix:?}"), &|read| report(loaded_bytes + read)).await?;
                finish_if_complete(&mut layout, matrix, &mut reader.uploads, &mut parts).await?;
            }
        }
        loaded_bytes += tensor.bytes;
        report(loaded_bytes);
    }
    config.rope.check(config.rotary_dim)?;
    let weights = Box::pin(reader.uploads.send("norms", || parts.into_weights(&config, device))).await?;
    reader.uploads.finish().await?;
    Ok(Loaded { weights: weights?, config, matrix_kind })
}

/// Puts divisors that a GGUF file holds as a tensor into the configuration.
fn take_divisors(config: &mut DecoderConfig, which: Divisors, values: Vec<f32>) -> Result<()> {
    match (which, &mut config.rope.scaling) {
        (Divisors::All, scaling @ (RopeScaling::None | RopeScaling::PerPair(_))) => *scaling = RopeScaling::PerPair(values),
        (Divisors::Short, RopeScaling::Long { short, .. }) => *short = values,
        (Divisors::Long, RopeScaling::Long { long, .. }) => *long = values,
        (which, scaling) => {
            return Err(Error::bad_model(format!("the file has rotary divisors ({which:?}), but its metadata say {scaling:?}")));
        }
    }
    Ok(())
}

/// Finishes a matrix whose last part has arrived.
async fn finish_if_complete(
    layout: &mut Layout,
    matrix: MatrixSlot,
    uploads: &mut Uploads,
    parts: &mut ModuleParts,
) -> Result<()> {
    if !layout.builder(matrix)?.is_complete() {
        return Ok(());
    }
    let builder = layout.take(matrix)?;
    let linear = builder.finish(&format!("{matrix:?}"), uploads).await?;
    parts.matrices.insert(matrix, linear);
    Ok(())
}

/// Checks names and shapes of all tensors without reading a weight; returns the bytes that the weights would take on a device.
pub fn planned_bytes(checkpoint: &Checkpoint, config: &DecoderConfig, quantize: Quantize) -> Result<u64> {
    Ok(Layout::check(checkpoint, config.clone(), quantize)?.bytes())
}

/// The same for each matrix: its name and its bytes on a device, in the order of the layers.
pub fn planned_matrices(checkpoint: &Checkpoint, config: &DecoderConfig, quantize: Quantize) -> Result<Vec<(String, u64)>> {
    Ok(Layout::check(checkpoint, config.clone(), quantize)?.matrix_bytes())
}

/// Reads a tensor whole as floats.
pub(crate) async fn floats(checkpoint: &Checkpoint, tensor: &TensorInfo) -> Result<Vec<f32>> {
    checkpoint.decode_rows(tensor, 0..tensor.rows()).await
}

/// What parts of matrices are read, packed and sent with.
pub(crate) struct MatrixReader<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) plan: &'a LoadPlan<'a>,
    pub(crate) uploads: Uploads,
}

impl MatrixReader<'_> {
    /// Reads a part of the matrix `name`, a few rows at a time, and sends them to where they belong, packed where the device wants them so: nothing of it
    /// is ever whole in the host's memory beside what becomes the weights there. `report` hears how many stored bytes are done.
    pub(crate) async fn read(
        &mut self,
        tensor: &TensorInfo,
        (builder, part): (&mut MatrixBuilder, usize),
        name: &str,
        report: &dyn Fn(u64),
    ) -> Result<()> {
        let rows = tensor.rows();
        let row_bytes = tensor.bytes / rows.max(1) as u64;
        let step = builder.step(part, usize::try_from(CHUNK_BYTES / row_bytes.max(1)).unwrap_or(usize::MAX));
        let mut start = 0;
        while start < rows {
            self.plan.cancel.check()?;
            let end = start.saturating_add(step).min(rows);
            let bytes = self.checkpoint.read_rows(tensor, start..end).await?;
            let mut is_sent = false;
            if MatrixUpload::takes_stored(self.uploads.device(), tensor.kind, builder.kind) {
                is_sent = builder.send(part, Rows::Stored(tensor.kind, &bytes), name, &mut self.uploads).await?;
            }
            if !is_sent {
                let packed = self.checkpoint.pack(tensor, start, &bytes, builder.kind)?;
                drop(bytes);
                builder.send(part, Rows::Packed(packed), name, &mut self.uploads).await?;
            }
            report(end as u64 * row_bytes);
            start = end;
        }
        Ok(())
    }
}
