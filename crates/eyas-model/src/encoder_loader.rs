//! Reads an encoder's tensors in file order into modules: names and shapes are checked before the first weight is read.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use eyas_core::{Error, LoadPhase, Progress, Quantize, Result, WeightKind};
use eyas_kernels::{KernelDevice, MatrixSpec, MatrixUpload, RopeSpec, Uploads};
use eyas_weights::Checkpoint;

use crate::{
    EncoderConfig, LayerRope,
    classifier_head::ClassifierHead,
    decoder::LoadPlan,
    encoder_layer::EncoderLayer,
    encoder_layout::{EncoderLayout, expected_norms},
    encoder_names::{EncoderMatrix, EncoderNorm, EncoderSlot, EncoderTable},
    encoder_weights::EncoderWeights,
    layer_norm::LayerNorm,
    linear::Linear,
    loader::{MatrixReader, floats, planned_bytes, planned_matrices},
    padded_tokens::padded_tokens,
    rope_tables::RopeTables,
};

/// Reads and uploads everything, for texts of at most `max_tokens` tokens; returns the kind of most matrices too.
pub(crate) async fn load(
    checkpoint: &Checkpoint,
    config: &EncoderConfig,
    max_tokens: usize,
    device: &KernelDevice,
    plan: &LoadPlan<'_>,
) -> Result<(EncoderWeights, WeightKind)> {
    let mut layout = EncoderLayout::check(checkpoint, config, plan.quantize)?;
    let matrix_kind = layout.matrix_kind();
    let mut parts = EncoderParts::default();
    let mut reader = MatrixReader { checkpoint, plan, uploads: Uploads::new(device) };
    let mut loaded_bytes = 0;
    let total_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
    for (tensor, place) in checkpoint.tensors().iter().zip(layout.places.clone()) {
        plan.cancel.check()?;
        let report = |loaded_bytes: u64| {
            plan.progress.report(Progress { phase: LoadPhase::Weights, loaded_bytes, total_bytes, detail: tensor.name.clone() });
        };
        let changed = match place {
            EncoderSlot::Ignored => None,
            EncoderSlot::Table(table) => {
                parts.tables.insert(table, floats(checkpoint, tensor).await?);
                None
            }
            EncoderSlot::Bias { matrix, part } => {
                let bias = floats(checkpoint, tensor).await?;
                layout.part(matrix, part)?.bias = Some(bias);
                Some(matrix)
            }
            EncoderSlot::Matrix { matrix, part } => {
                let builder = layout.builder(matrix)?;
                reader.read(tensor, (builder, part), &format!("{matrix:?}"), &|read| report(loaded_bytes + read)).await?;
                Some(matrix)
            }
        };
        if let Some(matrix) = changed
            && layout.builder(matrix)?.is_complete()
            && let Some(builder) = layout.matrices.remove(&matrix)
        {
            let linear = builder.finish(&format!("{matrix:?}"), &mut reader.uploads).await?;
            parts.matrices.insert(matrix, linear);
        }
        loaded_bytes += tensor.bytes;
        report(loaded_bytes);
    }
    let make = || parts.into_weights(config, max_tokens, device);
    let weights = Box::pin(reader.uploads.send("norms and positions", make)).await?;
    reader.uploads.finish().await?;
    Ok((weights?, matrix_kind))
}

/// Checks names and shapes of all tensors without reading a weight; returns the bytes that the weights would take on a device.
pub fn planned_encoder_bytes(checkpoint: &Checkpoint, config: &EncoderConfig, quantize: Quantize) -> Result<u64> {
    if let Some(decoder) = &config.decoder {
        return planned_bytes(checkpoint, decoder, quantize);
    }
    Ok(EncoderLayout::check(checkpoint, config, quantize)?.bytes())
}

/// The same for each matrix: its name and its bytes on a device, in the order of the layers.
pub fn planned_encoder_matrices(
    checkpoint: &Checkpoint,
    config: &EncoderConfig,
    quantize: Quantize,
) -> Result<Vec<(String, u64)>> {
    if let Some(decoder) = &config.decoder {
        return planned_matrices(checkpoint, decoder, quantize);
    }
    let matrices = EncoderLayout::check(checkpoint, config, quantize)?.matrices;
    Ok(matrices.iter().map(|(matrix, builder)| (format!("{matrix:?}"), builder.spec().bytes())).collect())
}

/// What a load has read.
#[derive(Default)]
struct EncoderParts {
    matrices: BTreeMap<EncoderMatrix, Linear>,
    tables: BTreeMap<EncoderTable, Vec<f32>>,
}

impl EncoderParts {
    fn matrix(&mut self, matrix: EncoderMatrix) -> Result<Linear> {
        self.matrices.remove(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} was not uploaded")))
    }

    fn table(&mut self, table: EncoderTable) -> Result<Vec<f32>> {
        self.tables.remove(&table).ok_or_else(|| Error::internal(format!("{table:?} was not read")))
    }

    fn norm(&mut self, norm: EncoderNorm, config: &EncoderConfig, device: &KernelDevice) -> Result<LayerNorm> {
        let weight = self.table(EncoderTable::NormWeight(norm))?;
        let bias = if config.biases.norms { self.table(EncoderTable::NormBias(norm))? } else { vec![0.0; weight.len()] };
        Ok(LayerNorm::new(weight, bias, config.norm_epsilon, device))
    }

    /// What is added to each position's word: the position's own row and, since every token of a single text has it, the first token type's.
    fn positions(&mut self, types: &[f32], config: &EncoderConfig, device: &KernelDevice) -> Result<Option<Tensor<2>>> {
        if !config.family.has_position_table() {
            return Ok(None);
        }
        let d = config.hidden_size;
        let mut rows = self.table(EncoderTable::Positions)?.split_off(config.first_position * d);
        for row in rows.chunks_mut(d) {
            row.iter_mut().zip(types).for_each(|(value, of_first)| *value += of_first);
        }
        let count = padded_tokens(device, config.max_tokens());
        rows.resize(count * d, 0.0);
        Ok(Some(device.floats(rows, [count, d])))
    }

    fn into_weights(mut self, config: &EncoderConfig, max_tokens: usize, device: &KernelDevice) -> Result<EncoderWeights> {
        let (no_rotations, no_norms) = (device.floats(vec![0.0], [1, 1]), device.unused());
        let tables = config.ropes.as_ref().map(|ropes| RopeTables::of_encoder(ropes, config.head_dim(), max_tokens, device));
        let norms = expected_norms(config);
        let mut layers = Vec::with_capacity(config.layers.len());
        for (layer, kind) in config.layers.iter().enumerate() {
            let attention_norm = EncoderNorm::Attention(layer);
            let has_norm = norms.contains(&attention_norm);
            let tables = tables.as_ref().filter(|_| kind.rope != LayerRope::None);
            layers.push(EncoderLayer {
                qkv: self.matrix(EncoderMatrix::Qkv(layer))?,
                output: self.matrix(EncoderMatrix::Output(layer))?,
                attention_norm: has_norm.then(|| self.norm(attention_norm, config, device)).transpose()?,
                up: self.matrix(EncoderMatrix::Up(layer))?,
                down: self.matrix(EncoderMatrix::Down(layer))?,
                mlp_norm: self.norm(EncoderNorm::Mlp(layer), config, device)?,
                rotations: tables.map_or_else(|| no_rotations.clone(), |tables| tables.of(kind.rope == LayerRope::Local)),
                no_norms: no_norms.clone(),
                rope: RopeSpec::new(if tables.is_some() { config.head_dim() } else { 0 }),
                activation: config.activation,
                is_pre_norm: config.family.is_pre_norm(),
            });
        }
        let types = if config.token_types > 0 { self.table(EncoderTable::Types)? } else { Vec::new() };
        let head = match config.classifier {
            None => None,
            Some(_) => Some(ClassifierHead {
                dense: self.matrix(EncoderMatrix::HeadDense)?,
                norm: norms.contains(&EncoderNorm::Head).then(|| self.norm(EncoderNorm::Head, config, device)).transpose()?,
                out: self.matrix(EncoderMatrix::HeadOut)?,
                activation: config.head_activation,
            }),
        };
        Ok(EncoderWeights {
            words: self.matrix(EncoderMatrix::Words)?,
            positions: self.positions(&types, config, device)?,
            types: config.has_types_in_pairs().then(|| type_differences(&types, config, device)),
            embeddings_norm: self.norm(EncoderNorm::Embeddings, config, device)?,
            layers,
            final_norm: norms.contains(&EncoderNorm::Final).then(|| self.norm(EncoderNorm::Final, config, device)).transpose()?,
            head,
            no_norms,
        })
    }
}

/// How the embedding of each token type differs from the first type's, which is part of the table of positions.
fn type_differences(types: &[f32], config: &EncoderConfig, device: &KernelDevice) -> Linear {
    let d = config.hidden_size;
    let differences = types.chunks(d).flat_map(|row| row.iter().zip(types).map(|(value, of_first)| value - of_first));
    let words = differences.map(f32::to_bits).collect();
    let spec = MatrixSpec { rows: types.len() / d, cols: d, kind: WeightKind::F32, has_bias: false };
    let mut upload = MatrixUpload::new(device, spec);
    upload.write(0, words, Vec::new());
    Linear::new(upload, None, spec, device)
}
