//! Where every tensor of a checkpoint belongs, checked before the first weight is read.

use std::collections::BTreeMap;

use eyas_core::{Error, Quantize, Result, WeightKind};
use eyas_kernels::{MatrixSpec, QkNorm};
use eyas_weights::{Checkpoint, Format, TensorInfo};

use crate::{
    DecoderConfig, DenseConfig,
    matrix_builder::{MatrixBuilder, Part},
    quantize_policy::{common_kind, target_kind},
    tensor_names::{MatrixSlot, NormSlot, Slot, slot},
};

/// Which matrices there will be, with the place of every tensor in them.
pub(crate) struct Layout {
    pub(crate) config: DecoderConfig,
    matrices: BTreeMap<MatrixSlot, MatrixBuilder>,
    /// In the order of the checkpoint's tensors.
    pub(crate) places: Vec<Slot>,
}

impl Layout {
    /// Gives every tensor its place, and fails where one has none, is missing, or has another shape than the configuration says.
    pub(crate) fn check(checkpoint: &Checkpoint, mut config: DecoderConfig, quantize: Quantize) -> Result<Self> {
        let format = checkpoint.format();
        let mut places = Vec::with_capacity(checkpoint.tensors().len());
        for tensor in checkpoint.tensors() {
            let place = slot(&tensor.name, format, config.norm_placement);
            let place = place.or_else(|| DenseConfig::owns(&config.architecture, &tensor.name).then_some(Slot::Ignored));
            places.push(place.ok_or_else(|| {
                Error::unsupported(format!(
                    "the tensor {:?} has no place in a {} decoder; the model has a feature that Eyas does not support",
                    tensor.name, config.architecture
                ))
            })?);
        }
        if format == Format::Gguf {
            name_fused_gate_and_up(&mut places);
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
        expect_places_of_their_own(checkpoint, &places, Slot::Ignored)?;
        let model_bytes = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
        let find = |wanted: Slot| checkpoint.tensors().iter().zip(&places).find(|(_, place)| **place == wanted).map(|(t, _)| t);
        let mut matrices = BTreeMap::new();
        for (matrix, mut part_rows, cols) in expected_matrices(&config) {
            if part_rows.len() > 1 && has_only_first(&places, matrix) {
                let is_rotated = matches!(matrix, MatrixSlot::Qkv(_));
                if is_rotated && config.interleaved_rope_rows {
                    return Err(Error::unsupported(format!(
                        "{matrix:?}: a fused matrix with rotary pairs side by side is not supported"
                    )));
                }
                part_rows = vec![part_rows.iter().sum()];
            }
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
                parts.push(Part { rows, interleaved_heads, ..Part::default() });
            }
            let biases: Vec<_> = (0..parts.len()).map(|part| find(Slot::Bias { matrix, part })).collect();
            let has_bias = biases.iter().any(Option::is_some);
            let declared = match matrix {
                MatrixSlot::Qkv(_) => config.qkv_bias,
                MatrixSlot::Output(_) => config.output_bias,
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
            matrices.insert(matrix, MatrixBuilder::new(kind, cols, has_bias, parts));
        }
        let norms = expected_norms(&config);
        for (norm, width) in &norms {
            expect_shape(find(Slot::Norm(*norm)).ok_or_else(|| missing(&format!("the {norm:?} norm")))?, &[*width])?;
        }
        // What was not asked for above belongs to a layer or to a feature that the configuration does not have.
        for (tensor, place) in checkpoint.tensors().iter().zip(&places) {
            let known = match place {
                Slot::Matrix { matrix, part } | Slot::Bias { matrix, part } => {
                    matrices.get(matrix).is_some_and(|builder: &MatrixBuilder| *part < builder.parts.len())
                }
                Slot::Norm(norm) => norms.iter().any(|(expected, _)| expected == norm),
                Slot::RopeDivisors(_) => {
                    expect_shape(tensor, &[config.rotary_dim / 2])?;
                    true
                }
                Slot::Ignored => true,
            };
            if !known {
                return Err(Error::bad_model(format!(
                    "the tensor {:?} belongs to a layer or a feature that the configuration ({} layers) does not have",
                    tensor.name,
                    config.layers.len()
                )));
            }
        }
        Ok(Self { config, matrices, places })
    }

    /// The kind that takes most bytes.
    pub(crate) fn matrix_kind(&self) -> WeightKind {
        let bytes = |kind: WeightKind| {
            self.matrices.values().filter(|matrix| matrix.kind == kind).map(|matrix| matrix.spec().bytes()).sum::<u64>()
        };
        WeightKind::ALL.into_iter().max_by_key(|kind| bytes(*kind)).unwrap_or(WeightKind::F32)
    }

    pub(crate) fn builder(&mut self, matrix: MatrixSlot) -> Result<&mut MatrixBuilder> {
        self.matrices.get_mut(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} is read twice")))
    }

    pub(crate) fn part(&mut self, matrix: MatrixSlot, part: usize) -> Result<&mut Part> {
        let parts = &mut self.builder(matrix)?.parts;
        parts.get_mut(part).ok_or_else(|| Error::internal(format!("{matrix:?} has no part {part}")))
    }

    /// Takes a matrix out whose parts are all there.
    pub(crate) fn take(&mut self, matrix: MatrixSlot) -> Result<MatrixBuilder> {
        self.matrices.remove(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} is read twice")))
    }

    /// The name of each matrix and its bytes on a device, in the order of the layers.
    pub(crate) fn matrix_bytes(&self) -> Vec<(String, u64)> {
        self.matrices.iter().map(|(slot, matrix)| (format!("{slot:?}"), matrix.spec().bytes())).collect()
    }

    /// Shape and kind of each matrix.
    pub(crate) fn specs(&self) -> impl Iterator<Item = MatrixSpec> {
        self.matrices.values().map(MatrixBuilder::spec)
    }

    /// Shape and kind of each layer's matrices, and whether it is the first layer.
    pub(crate) fn layer_specs(&self) -> impl Iterator<Item = (bool, MatrixSpec)> {
        self.matrices.iter().filter_map(|(slot, matrix)| match slot {
            MatrixSlot::Qkv(layer) | MatrixSlot::Output(layer) | MatrixSlot::GateUp(layer) | MatrixSlot::Down(layer) => {
                Some((*layer == 0, matrix.spec()))
            }
            MatrixSlot::Embedding | MatrixSlot::Head => None,
        })
    }

    /// Values of each tensor that normalisations have on a device: those of a layer's queries and keys are one.
    pub(crate) fn norm_values(&self) -> Vec<usize> {
        let mut values: Vec<usize> = Vec::new();
        for (norm, width) in expected_norms(&self.config) {
            match (norm, values.last_mut()) {
                (NormSlot::Key(_), Some(of_query)) => *of_query += width,
                _ => values.push(width),
            }
        }
        values
    }

    /// Bytes that the weights take on a device.
    pub(crate) fn bytes(&self) -> u64 {
        let norms: u64 = self.norm_values().into_iter().map(|values| values as u64 * 4).sum();
        norms + self.matrices.values().map(|matrix| matrix.spec().bytes()).sum::<u64>()
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
    for layer in 0..config.layers.len() {
        matrices.push((MatrixSlot::Qkv(layer), vec![q, kv, kv], d));
        matrices.push((MatrixSlot::Output(layer), vec![d], q));
        matrices.push((MatrixSlot::GateUp(layer), vec![ff, ff], d));
        matrices.push((MatrixSlot::Down(layer), vec![d], ff));
    }
    matrices
}

/// Every normalisation with its width.
fn expected_norms(config: &DecoderConfig) -> Vec<(NormSlot, usize)> {
    let d = config.hidden_size;
    let (query, key) = match config.qk_norm {
        QkNorm::None => (0, 0),
        QkNorm::PerHead { .. } => (config.head_dim, config.head_dim),
        QkNorm::FullWidth { .. } => (config.heads * config.head_dim, config.kv_heads * config.head_dim),
    };
    let mut norms = vec![(NormSlot::Final, d)];
    for layer in 0..config.layers.len() {
        if config.norm_placement.has_before() {
            norms.extend([(NormSlot::Attention(layer), d), (NormSlot::Mlp(layer), d)]);
        }
        if config.norm_placement.has_behind() {
            norms.extend([(NormSlot::AfterAttention(layer), d), (NormSlot::AfterMlp(layer), d)]);
        }
        if query > 0 {
            norms.extend([(NormSlot::Query(layer), query), (NormSlot::Key(layer), key)]);
        }
    }
    norms
}

/// Whether a matrix of several parts is stored as one.
fn has_only_first(places: &[Slot], matrix: MatrixSlot) -> bool {
    places.contains(&Slot::Matrix { matrix, part: 0 }) && !places.contains(&Slot::Matrix { matrix, part: 1 })
}

/// GGUF calls gate and up in one matrix just "up".
fn name_fused_gate_and_up(places: &mut [Slot]) {
    let gates: Vec<MatrixSlot> = places
        .iter()
        .filter_map(|place| match place {
            Slot::Matrix { matrix: matrix @ MatrixSlot::GateUp(_), part: 0 } => Some(*matrix),
            _ => None,
        })
        .collect();
    for place in places {
        if let Slot::Matrix { matrix: matrix @ MatrixSlot::GateUp(_), part }
        | Slot::Bias { matrix: matrix @ MatrixSlot::GateUp(_), part } = place
            && !gates.contains(matrix)
        {
            *part = 0;
        }
    }
}

/// Says that a tensor is missing.
pub(crate) fn missing(what: &str) -> Error {
    Error::bad_model(format!("the model has no tensor for {what}; the file is incomplete or contradicts its configuration"))
}

/// Fails with `bad-model` where two tensors belong to the same place, but for what is ignored.
pub(crate) fn expect_places_of_their_own<T: Copy + Ord>(checkpoint: &Checkpoint, places: &[T], ignored: T) -> Result<()> {
    let mut taken = BTreeMap::new();
    for (tensor, place) in checkpoint.tensors().iter().zip(places).filter(|(_, place)| **place != ignored) {
        if let Some(other) = taken.insert(*place, &tensor.name) {
            return Err(Error::bad_model(format!(
                "the tensors {other:?} and {:?} belong to the same place; the model needs one of them",
                tensor.name
            )));
        }
    }
    Ok(())
}

/// Fails with `bad-model` unless a tensor has this shape.
pub(crate) fn expect_shape(tensor: &TensorInfo, shape: &[usize]) -> Result<()> {
    if tensor.shape == shape {
        return Ok(());
    }
    Err(Error::bad_model(format!(
        "the tensor {:?} should have the shape {shape:?} by the configuration, found {:?}",
        tensor.name, tensor.shape
    )))
}
