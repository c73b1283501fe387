//! Where every tensor of an encoder's checkpoint belongs, checked before the first weight is read.

use std::collections::BTreeMap;

use eyas_core::{Error, Quantize, Result, WeightKind};
use eyas_weights::{Checkpoint, Format, TensorInfo};

use crate::{
    DenseConfig, EncoderConfig,
    encoder_names::{EncoderMatrix, EncoderNorm, EncoderSlot, EncoderTable, encoder_slot, gguf_encoder_slot},
    layout::{expect_places_of_their_own, expect_shape, missing},
    matrix_builder::{MatrixBuilder, Part},
    padded_tokens::step_tokens,
    quantize_policy::{common_kind, kind_of, target_kind},
};

/// Which matrices there will be, with the place of every tensor in them.
pub(crate) struct EncoderLayout {
    pub(crate) matrices: BTreeMap<EncoderMatrix, MatrixBuilder>,
    /// In the order of the checkpoint's tensors.
    pub(crate) places: Vec<EncoderSlot>,
    table_values: usize,
}

impl EncoderLayout {
    /// Gives every tensor its place, and fails where one has none, is missing, or has another shape than the configuration says.
    pub(crate) fn check(checkpoint: &Checkpoint, config: &EncoderConfig, quantize: Quantize) -> Result<Self> {
        let mut places = Vec::with_capacity(checkpoint.tensors().len());
        for tensor in checkpoint.tensors() {
            let place = place(checkpoint, config, &tensor.name).ok_or_else(|| {
                Error::unsupported(format!(
                    "the tensor {:?} has no place in a {} encoder; the model has a feature that Eyas does not support",
                    tensor.name,
                    config.architecture()
                ))
            })?;
            places.push(if is_used(place, config) { place } else { EncoderSlot::Ignored });
        }
        expect_places_of_their_own(checkpoint, &places, EncoderSlot::Ignored)?;
        let model_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
        let find = |wanted: EncoderSlot| {
            let found = checkpoint.tensors().iter().zip(&places).find(|(_, place)| **place == wanted);
            found.map(|(tensor, _)| tensor).ok_or_else(|| missing(&format!("{wanted:?}")))
        };
        let mut matrices = BTreeMap::new();
        for (matrix, part_rows, cols) in expected_matrices(config) {
            let has_bias = has_bias(matrix, config);
            let (mut parts, mut kinds) = (Vec::new(), Vec::new());
            for (part, rows) in part_rows.into_iter().enumerate() {
                let tensor = find(EncoderSlot::Matrix { matrix, part })?;
                expect_shape(tensor, &[rows, cols])?;
                if has_bias {
                    expect_shape(find(EncoderSlot::Bias { matrix, part })?, &[rows])?;
                }
                kinds.push(kind(matrix, quantize, tensor, model_bytes));
                parts.push(Part { rows, ..Part::default() });
            }
            let kind = common_kind(kinds).ok_or_else(|| Error::internal("a matrix without parts"))?;
            matrices.insert(matrix, MatrixBuilder::new(kind, cols, has_bias, parts));
        }
        let tables = expected_tables(config);
        for (table, shape) in &tables {
            expect_shape(find(EncoderSlot::Table(*table))?, shape)?;
        }
        // What was not asked for above belongs to a layer or to a feature that the configuration does not have.
        for (tensor, place) in checkpoint.tensors().iter().zip(&places) {
            let is_known = match place {
                EncoderSlot::Matrix { matrix, .. } => matrices.contains_key(matrix),
                EncoderSlot::Bias { matrix, .. } => matrices.get(matrix).is_some_and(|builder| builder.has_bias),
                EncoderSlot::Table(table) => tables.iter().any(|(expected, _)| expected == table),
                EncoderSlot::Ignored => true,
            };
            if !is_known {
                return Err(Error::bad_model(format!(
                    "the tensor {:?} belongs to a layer or a feature that the configuration ({} layers) does not have",
                    tensor.name,
                    config.layers.len()
                )));
            }
        }
        // A device may want some rows more than there are positions.
        let rows = if config.family.has_position_table() { step_tokens(config.max_tokens()) } else { 0 };
        let types = if config.has_types_in_pairs() { config.token_types } else { 0 };
        let table_values = (rows + types + 2 * expected_norms(config).len()) * config.hidden_size;
        Ok(Self { matrices, places, table_values })
    }

    /// The kind that takes most bytes.
    pub(crate) fn matrix_kind(&self) -> WeightKind {
        let bytes = |kind: WeightKind| {
            self.matrices.values().filter(|matrix| matrix.kind == kind).map(|matrix| matrix.spec().bytes()).sum::<u64>()
        };
        WeightKind::ALL.into_iter().max_by_key(|kind| bytes(*kind)).unwrap_or(WeightKind::F32)
    }

    pub(crate) fn builder(&mut self, matrix: EncoderMatrix) -> Result<&mut MatrixBuilder> {
        self.matrices.get_mut(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} is read twice")))
    }

    pub(crate) fn part(&mut self, matrix: EncoderMatrix, part: usize) -> Result<&mut Part> {
        let parts = &mut self.builder(matrix)?.parts;
        parts.get_mut(part).ok_or_else(|| Error::internal(format!("{matrix:?} has no part {part}")))
    }

    /// Bytes that the weights take on a device.
    pub(crate) fn bytes(&self) -> u64 {
        self.table_values as u64 * 4 + self.matrices.values().map(|matrix| matrix.spec().bytes()).sum::<u64>()
    }
}

/// The head of a model that was made without one is not used: BERT's pooler and ModernBERT's head were trained for another task.
fn is_used(place: EncoderSlot, config: &EncoderConfig) -> bool {
    match place {
        EncoderSlot::Matrix { matrix: EncoderMatrix::HeadDense, .. }
        | EncoderSlot::Bias { matrix: EncoderMatrix::HeadDense, .. }
        | EncoderSlot::Table(EncoderTable::NormWeight(EncoderNorm::Head) | EncoderTable::NormBias(EncoderNorm::Head)) => {
            config.classifier.is_some()
        }
        _ => true,
    }
}

fn has_bias(matrix: EncoderMatrix, config: &EncoderConfig) -> bool {
    match matrix {
        EncoderMatrix::Words => false,
        EncoderMatrix::Qkv(_) | EncoderMatrix::Output(_) => config.biases.attention,
        EncoderMatrix::Up(_) | EncoderMatrix::Down(_) => config.biases.mlp,
        EncoderMatrix::HeadDense => config.biases.head_dense,
        EncoderMatrix::HeadOut => true,
    }
}

/// A head is small, and its rounding would go right into the scores: it stays as it is stored. Where a model becomes 4-bit, the words' embeddings and the
/// second matrix of the MLPs do, which lose least for their size, and the others become 8-bit (measured in docs/models.md).
fn kind(matrix: EncoderMatrix, quantize: Quantize, tensor: &TensorInfo, model_bytes: u64) -> WeightKind {
    match matrix {
        EncoderMatrix::HeadDense | EncoderMatrix::HeadOut => tensor.kind.natural(),
        EncoderMatrix::Words | EncoderMatrix::Down(_) => kind_of(quantize, tensor.kind, model_bytes, false),
        EncoderMatrix::Qkv(_) | EncoderMatrix::Output(_) | EncoderMatrix::Up(_) => {
            kind_of(quantize, tensor.kind, model_bytes, true)
        }
    }
}

/// The kind in which a tensor of an encoder is held: a matrix as `quantize` says, everything else as floats.
pub fn encoder_target_kind(
    checkpoint: &Checkpoint,
    config: &EncoderConfig,
    quantize: Quantize,
    tensor: &TensorInfo,
) -> WeightKind {
    let model_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
    match (&config.decoder, place(checkpoint, config, &tensor.name)) {
        (Some(decoder), _) if DenseConfig::owns(&decoder.architecture, &tensor.name) => DenseConfig::held_kind(tensor),
        (Some(_), _) if tensor.shape.len() > 1 => target_kind(quantize, tensor, model_bytes),
        (None, Some(EncoderSlot::Matrix { matrix, .. })) => kind(matrix, quantize, tensor, model_bytes),
        _ => WeightKind::F32,
    }
}

fn place(checkpoint: &Checkpoint, config: &EncoderConfig, name: &str) -> Option<EncoderSlot> {
    match checkpoint.format() {
        Format::Gguf => gguf_encoder_slot(name, config.family),
        _ => encoder_slot(name, config.family),
    }
}

/// Every matrix with the rows of its parts and its columns.
fn expected_matrices(config: &EncoderConfig) -> Vec<(EncoderMatrix, Vec<usize>, usize)> {
    let (d, ff) = (config.hidden_size, config.intermediate_size);
    let mut matrices = vec![(EncoderMatrix::Words, vec![config.vocab_size], d)];
    let is_fused = config.family.is_pre_norm();
    for layer in 0..config.layers.len() {
        matrices.push((EncoderMatrix::Qkv(layer), if is_fused { vec![3 * d] } else { vec![d; 3] }, d));
        matrices.push((EncoderMatrix::Output(layer), vec![d], d));
        matrices.push((EncoderMatrix::Up(layer), vec![if is_fused { 2 * ff } else { ff }], d));
        matrices.push((EncoderMatrix::Down(layer), vec![d], ff));
    }
    if let Some(classifier) = &config.classifier {
        matrices.push((EncoderMatrix::HeadDense, vec![d], d));
        matrices.push((EncoderMatrix::HeadOut, vec![classifier.labels.len()], d));
    }
    matrices
}

/// Every other tensor with its shape.
fn expected_tables(config: &EncoderConfig) -> Vec<(EncoderTable, Vec<usize>)> {
    let d = config.hidden_size;
    let mut tables = Vec::new();
    if config.family.has_position_table() {
        tables.push((EncoderTable::Positions, vec![config.position_rows, d]));
    }
    if config.token_types > 0 {
        tables.push((EncoderTable::Types, vec![config.token_types, d]));
    }
    for norm in expected_norms(config) {
        tables.push((EncoderTable::NormWeight(norm), vec![d]));
        if config.biases.norms {
            tables.push((EncoderTable::NormBias(norm), vec![d]));
        }
    }
    tables
}

/// Every normalisation.
pub(crate) fn expected_norms(config: &EncoderConfig) -> Vec<EncoderNorm> {
    let is_pre_norm = config.family.is_pre_norm();
    let mut norms = vec![EncoderNorm::Embeddings];
    for layer in 0..config.layers.len() {
        // The first layer takes what was normalised behind the embeddings.
        if !(is_pre_norm && layer == 0) {
            norms.push(EncoderNorm::Attention(layer));
        }
        norms.push(EncoderNorm::Mlp(layer));
    }
    if is_pre_norm {
        norms.push(EncoderNorm::Final);
        if config.classifier.is_some() {
            norms.push(EncoderNorm::Head);
        }
    }
    norms
}

#[cfg(test)]
mod tests {
    use eyas_weights::SourceKind;

    use super::*;

    #[test]
    fn what_loses_least_in_4_bits_gets_them() {
        let tensor = |kind| TensorInfo { name: "x.weight".to_owned(), kind, shape: vec![32, 32], file: 0, offset: 0, bytes: 0 };
        let of = |matrix, quantize, stored| kind(matrix, quantize, &tensor(stored), 0);
        for matrix in [EncoderMatrix::Words, EncoderMatrix::Down(0), EncoderMatrix::Down(5)] {
            assert_eq!(of(matrix, Quantize::Q4, SourceKind::F32), WeightKind::Q4, "{matrix:?}");
        }
        for matrix in [EncoderMatrix::Qkv(0), EncoderMatrix::Output(3), EncoderMatrix::Up(5)] {
            assert_eq!(of(matrix, Quantize::Q4, SourceKind::F32), WeightKind::Q8, "{matrix:?}");
            assert_eq!(of(matrix, Quantize::Q4, SourceKind::Q4_0), WeightKind::Q4, "{matrix:?}");
            assert_eq!(of(matrix, Quantize::None, SourceKind::F16), WeightKind::F16, "{matrix:?}");
        }
        for head in [EncoderMatrix::HeadDense, EncoderMatrix::HeadOut] {
            assert_eq!(of(head, Quantize::Q4, SourceKind::F32), WeightKind::F32, "{head:?}");
        }
    }
}
