//! Reads a checkpoint's tensors in file order into modules: names and shapes are checked before the first weight is read.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use eyas_core::{Error, LoadPhase, Progress, Quantize, Result, WeightKind};
use eyas_kernels::KernelDevice;
use eyas_weights::{Checkpoint, Format, PackedRows, TensorInfo};

use crate::{
    DecoderConfig, RopeScaling,
    attention::Attention,
    decoder::{LoadPlan, Weights},
    decoder_layer::DecoderLayer,
    linear::Linear,
    matrix_builder::{MatrixBuilder, Part},
    mlp::Mlp,
    norm::RmsNorm,
    quantize_policy::{common_kind, target_kind},
    tensor_names::{MatrixSlot, NormSlot, Slot, slot},
};

/// Stored bytes that are read and packed at a time.
const CHUNK_BYTES: u64 = 4 << 20;

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
    let mut finished = Finished::default();
    let mut divisors = None;
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
                let weight = floats(checkpoint, tensor).await?;
                finished.norms.insert(norm, RmsNorm::new(weight, layout.config.norm_epsilon, device));
            }
            Slot::RopeDivisors => divisors = Some(floats(checkpoint, tensor).await?),
            Slot::Bias { matrix, part } => {
                let bias = floats(checkpoint, tensor).await?;
                layout.part(matrix, part)?.bias = Some(bias);
                layout.upload_if_complete(matrix, device, &mut finished).await?;
            }
            Slot::Matrix { matrix, part } => {
                let kind = layout.builder(matrix)?.kind;
                let packed = pack(checkpoint, tensor, kind, plan, |read| report(loaded_bytes + read)).await?;
                layout.part(matrix, part)?.packed = Some(packed);
                layout.upload_if_complete(matrix, device, &mut finished).await?;
            }
        }
        loaded_bytes += tensor.bytes;
        report(loaded_bytes);
    }
    let mut config = layout.config;
    if let Some(divisors) = divisors {
        config.rope_scaling = RopeScaling::PerPair(divisors);
    }
    Ok(Loaded { weights: finished.into_weights(&config, device)?, config, matrix_kind })
}

/// Checks names and shapes of all tensors without reading a weight; returns the bytes that the weights would take on a device.
pub fn planned_bytes(checkpoint: &Checkpoint, config: &DecoderConfig, quantize: Quantize) -> Result<u64> {
    let layout = Layout::check(checkpoint, config.clone(), quantize)?;
    let norms = (2 * layout.config.layers as u64 + 1) * layout.config.hidden_size as u64 * 4;
    Ok(norms + layout.matrices.values().map(|matrix| matrix.spec().bytes()).sum::<u64>())
}

/// The same for each matrix: its name and its bytes on a device, in the order of the layers.
pub fn planned_matrices(checkpoint: &Checkpoint, config: &DecoderConfig, quantize: Quantize) -> Result<Vec<(String, u64)>> {
    let layout = Layout::check(checkpoint, config.clone(), quantize)?;
    Ok(layout.matrices.iter().map(|(slot, matrix)| (format!("{slot:?}"), matrix.spec().bytes())).collect())
}

async fn floats(checkpoint: &Checkpoint, tensor: &TensorInfo) -> Result<Vec<f32>> {
    checkpoint.decode_rows(tensor, 0..tensor.rows()).await
}

/// Reads a matrix a few rows at a time and packs them, so that the stored bytes are never held whole.
async fn pack(
    checkpoint: &Checkpoint,
    tensor: &TensorInfo,
    kind: WeightKind,
    plan: &LoadPlan<'_>,
    report: impl Fn(u64),
) -> Result<PackedRows> {
    let (rows, cols) = (tensor.rows(), tensor.cols());
    let row_bytes = tensor.bytes / rows.max(1) as u64;
    let step = usize::try_from(CHUNK_BYTES / row_bytes.max(1)).unwrap_or(usize::MAX).max(1);
    let mut whole = PackedRows {
        words: Vec::with_capacity(rows * kind.words_per_row(cols)),
        scales: Vec::with_capacity(rows * kind.blocks_per_row(cols)),
    };
    let mut start = 0;
    while start < rows {
        plan.cancel.check()?;
        let end = start.saturating_add(step).min(rows);
        let packed = checkpoint.pack_rows(tensor, start..end, kind).await?;
        whole.words.extend_from_slice(&packed.words);
        whole.scales.extend_from_slice(&packed.scales);
        report(end as u64 * row_bytes);
        start = end;
    }
    Ok(whole)
}

/// Which matrices there will be, with the place of every tensor in them.
struct Layout {
    config: DecoderConfig,
    matrices: BTreeMap<MatrixSlot, MatrixBuilder>,
    /// In the order of the checkpoint's tensors.
    places: Vec<Slot>,
}

impl Layout {
    /// Gives every tensor its place, and fails where one has none, is missing, or has another shape than the configuration says.
    fn check(checkpoint: &Checkpoint, mut config: DecoderConfig, quantize: Quantize) -> Result<Self> {
        let format = checkpoint.format();
        let mut places = Vec::with_capacity(checkpoint.tensors().len());
        for tensor in checkpoint.tensors() {
            places.push(slot(&tensor.name, format).ok_or_else(|| {
                Error::unsupported(format!(
                    "the tensor {:?} has no place in a {} decoder; the model has a feature that Eyas does not support",
                    tensor.name, config.architecture
                ))
            })?);
        }
        let has = |wanted: Slot| places.contains(&wanted);
        if format == Format::Gguf {
            config.tied_embeddings = !has(Slot::Matrix { matrix: MatrixSlot::Head, part: 0 });
        }
        if config.tied_embeddings {
            for place in &mut places {
                if matches!(place, Slot::Matrix { matrix: MatrixSlot::Head, .. }) {
                    *place = Slot::Ignored;
                }
            }
        }
        let model_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
        let find = |wanted: Slot| checkpoint.tensors().iter().zip(&places).find(|(_, place)| **place == wanted).map(|(t, _)| t);
        let mut matrices = BTreeMap::new();
        for (matrix, part_rows, cols) in expected_matrices(&config) {
            let mut parts = Vec::new();
            let mut kinds = Vec::new();
            for (part, rows) in part_rows.iter().copied().enumerate() {
                let tensor = find(Slot::Matrix { matrix, part }).ok_or_else(|| missing(&format!("{matrix:?}, part {part}")))?;
                expect_shape(tensor, &[rows, cols])?;
                kinds.push(target_kind(quantize, tensor, model_bytes));
                let heads = match (matrix, part) {
                    (MatrixSlot::Qkv(_), 0) => config.heads,
                    (MatrixSlot::Qkv(_), 1) => config.kv_heads,
                    _ => 0,
                };
                let interleaved_heads = if config.interleaved_rope_rows { heads } else { 0 };
                parts.push(Part { rows, interleaved_heads, packed: None, bias: None });
            }
            let biases: Vec<_> = (0..parts.len()).map(|part| find(Slot::Bias { matrix, part })).collect();
            let has_bias = biases.iter().any(Option::is_some);
            let declared = match matrix {
                MatrixSlot::Qkv(_) | MatrixSlot::Output(_) => config.attention_bias,
                MatrixSlot::GateUp(_) | MatrixSlot::Down(_) => config.mlp_bias,
                MatrixSlot::Embedding | MatrixSlot::Head => false,
            };
            if format == Format::Safetensors && declared != has_bias {
                return Err(Error::bad_model(format!(
                    "config.json says that {matrix:?} has {} bias, but the tensors say otherwise",
                    if declared { "a" } else { "no" }
                )));
            }
            if has_bias {
                for (bias, part) in biases.iter().zip(&parts) {
                    let bias = bias.ok_or_else(|| missing(&format!("a bias of {matrix:?}")))?;
                    expect_shape(bias, &[part.rows])?;
                }
            }
            let kind = common_kind(kinds).ok_or_else(|| Error::internal("a matrix without parts"))?;
            matrices.insert(matrix, MatrixBuilder { kind, cols, has_bias, parts });
        }
        for norm in expected_norms(config.layers) {
            expect_shape(find(Slot::Norm(norm)).ok_or_else(|| missing(&format!("the {norm:?} norm")))?, &[config.hidden_size])?;
        }
        if let Some(tensor) = find(Slot::RopeDivisors) {
            expect_shape(tensor, &[config.head_dim / 2])?;
        }
        // What was not asked for above belongs to a layer that the configuration does not have.
        for (tensor, place) in checkpoint.tensors().iter().zip(&places) {
            let known = match place {
                Slot::Matrix { matrix, .. } | Slot::Bias { matrix, .. } => matrices.contains_key(matrix),
                Slot::Norm(NormSlot::Attention(layer) | NormSlot::Mlp(layer)) => *layer < config.layers,
                Slot::Norm(NormSlot::Final) | Slot::RopeDivisors | Slot::Ignored => true,
            };
            if !known {
                return Err(Error::bad_model(format!(
                    "the tensor {:?} belongs to a layer that the configuration ({} layers) does not have",
                    tensor.name, config.layers
                )));
            }
        }
        Ok(Self { config, matrices, places })
    }

    /// The kind that takes most bytes.
    fn matrix_kind(&self) -> WeightKind {
        let bytes = |kind: WeightKind| {
            self.matrices.values().filter(|matrix| matrix.kind == kind).map(|matrix| matrix.spec().bytes()).sum::<u64>()
        };
        WeightKind::ALL.into_iter().max_by_key(|kind| bytes(*kind)).unwrap_or(WeightKind::F32)
    }

    fn builder(&mut self, matrix: MatrixSlot) -> Result<&mut MatrixBuilder> {
        self.matrices.get_mut(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} is read twice")))
    }

    fn part(&mut self, matrix: MatrixSlot, part: usize) -> Result<&mut Part> {
        let parts = &mut self.builder(matrix)?.parts;
        parts.get_mut(part).ok_or_else(|| Error::internal(format!("{matrix:?} has no part {part}")))
    }

    async fn upload_if_complete(&mut self, matrix: MatrixSlot, device: &KernelDevice, finished: &mut Finished) -> Result<()> {
        if !self.builder(matrix)?.is_complete() {
            return Ok(());
        }
        let Some(builder) = self.matrices.remove(&matrix) else {
            return Err(Error::internal(format!("{matrix:?} is read twice")));
        };
        let bytes = builder.spec().bytes();
        device.check_buffer(bytes).map_err(|error| error.context(format!("{matrix:?}")))?;
        let upload = device.begin_upload();
        let linear = builder.upload(device)?;
        upload.finish().await.map_err(|error| error.context(format!("{matrix:?}")))?;
        finished.matrices.insert(matrix, linear);
        Ok(())
    }
}

/// Every matrix with the rows of its parts and its columns.
fn expected_matrices(config: &DecoderConfig) -> Vec<(MatrixSlot, Vec<usize>, usize)> {
    let (d, ff) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let mut matrices = vec![(MatrixSlot::Embedding, vec![config.vocab_size], d)];
    if !config.tied_embeddings {
        matrices.push((MatrixSlot::Head, vec![config.vocab_size], d));
    }
    for layer in 0..config.layers {
        matrices.push((MatrixSlot::Qkv(layer), vec![q, kv, kv], d));
        matrices.push((MatrixSlot::Output(layer), vec![d], q));
        matrices.push((MatrixSlot::GateUp(layer), vec![ff, ff], d));
        matrices.push((MatrixSlot::Down(layer), vec![d], ff));
    }
    matrices
}

fn expected_norms(layers: usize) -> impl Iterator<Item = NormSlot> {
    (0..layers).flat_map(|layer| [NormSlot::Attention(layer), NormSlot::Mlp(layer)]).chain([NormSlot::Final])
}

fn missing(what: &str) -> Error {
    Error::bad_model(format!("the model has no tensor for {what}; the file is incomplete or contradicts its configuration"))
}

fn expect_shape(tensor: &TensorInfo, shape: &[usize]) -> Result<()> {
    if tensor.shape == shape {
        return Ok(());
    }
    Err(Error::bad_model(format!(
        "the tensor {:?} should have the shape {shape:?} by the configuration, found {:?}",
        tensor.name, tensor.shape
    )))
}

/// Modules as they are finished.
#[derive(Default)]
struct Finished {
    matrices: BTreeMap<MatrixSlot, Linear>,
    norms: BTreeMap<NormSlot, RmsNorm>,
}

impl Finished {
    fn matrix(&mut self, matrix: MatrixSlot) -> Result<Linear> {
        self.matrices.remove(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} was not uploaded")))
    }

    fn norm(&mut self, norm: NormSlot) -> Result<RmsNorm> {
        self.norms.remove(&norm).ok_or_else(|| Error::internal(format!("the {norm:?} norm was not uploaded")))
    }

    fn into_weights(mut self, config: &DecoderConfig, device: &KernelDevice) -> Result<Weights> {
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            layers.push(DecoderLayer {
                attention_norm: self.norm(NormSlot::Attention(layer))?,
                attention: Attention {
                    qkv: self.matrix(MatrixSlot::Qkv(layer))?,
                    output: self.matrix(MatrixSlot::Output(layer))?,
                    qk_norm_weights: Tensor::from_data([0.0_f32], device.burn()),
                },
                mlp_norm: self.norm(NormSlot::Mlp(layer))?,
                mlp: Mlp {
                    gate_up: self.matrix(MatrixSlot::GateUp(layer))?,
                    down: self.matrix(MatrixSlot::Down(layer))?,
                    activation: config.activation,
                },
            });
        }
        Ok(Weights {
            embedding: self.matrix(MatrixSlot::Embedding)?,
            layers,
            final_norm: self.norm(NormSlot::Final)?,
            head: if config.tied_embeddings { None } else { Some(self.matrix(MatrixSlot::Head)?) },
        })
    }
}
