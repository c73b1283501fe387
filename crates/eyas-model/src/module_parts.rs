//! What a load has read, and the modules that it becomes.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use eyas_core::{Error, Result};
use eyas_kernels::{KernelDevice, QkNorm, ResidualSpec};

use crate::{
    DecoderConfig, LayerRope,
    attention::Attention,
    decoder::Weights,
    decoder_layer::DecoderLayer,
    linear::Linear,
    mlp::Mlp,
    norm::RmsNorm,
    residual_join::ResidualJoin,
    tensor_names::{MatrixSlot, NormSlot},
};

/// Matrices on the device and weights of normalisations as they were stored.
#[derive(Default)]
pub(crate) struct ModuleParts {
    pub(crate) matrices: BTreeMap<MatrixSlot, Linear>,
    pub(crate) norms: BTreeMap<NormSlot, Vec<f32>>,
}

impl ModuleParts {
    fn matrix(&mut self, matrix: MatrixSlot) -> Result<Linear> {
        self.matrices.remove(&matrix).ok_or_else(|| Error::internal(format!("{matrix:?} was not uploaded")))
    }

    /// The weight of a normalisation as it is multiplied.
    fn weight(&mut self, norm: NormSlot, config: &DecoderConfig) -> Result<Vec<f32>> {
        let mut weight = self.norms.remove(&norm).ok_or_else(|| Error::internal(format!("the {norm:?} norm was not read")))?;
        // The head is linear, so what divides its logits may as well divide what it reads.
        let factor = if norm == NormSlot::Final { 1.0 / config.logit_divisor } else { 1.0 };
        for value in &mut weight {
            *value = (*value + config.norm_weight_offset) * factor;
        }
        Ok(weight)
    }

    fn norm(&mut self, norm: NormSlot, config: &DecoderConfig, device: &KernelDevice) -> Result<RmsNorm> {
        Ok(RmsNorm::new(self.weight(norm, config)?, config.norm_epsilon, device))
    }

    /// The join behind a half of a layer, where the configuration asks for more than a sum. `next` is the normalisation that comes behind it.
    fn join(
        &mut self,
        post: NormSlot,
        next: Option<&RmsNorm>,
        config: &DecoderConfig,
        device: &KernelDevice,
    ) -> Result<Option<ResidualJoin>> {
        #[allow(clippy::float_cmp, reason = "exactly one is what configurations say")]
        let is_sum = !config.norm_placement.has_behind() && config.residual_multiplier == 1.0;
        if is_sum {
            return Ok(None);
        }
        let unused = || device.unused();
        let mut spec = ResidualSpec::new(config.residual_multiplier);
        let mut post_weight = unused();
        if config.norm_placement.has_behind() {
            spec = spec.with_post_norm(config.norm_epsilon);
            post_weight = RmsNorm::new(self.weight(post, config)?, config.norm_epsilon, device).weight();
        }
        if next.is_some() {
            spec = spec.with_next_norm(config.norm_epsilon);
        }
        let next_weight = next.map_or_else(unused, RmsNorm::weight);
        Ok(Some(ResidualJoin { post_weight, next_weight, spec }))
    }

    /// Weights of the normalisation of queries and keys, one behind the other.
    fn qk_norm_weights(&mut self, layer: usize, config: &DecoderConfig, device: &KernelDevice) -> Result<Tensor<1>> {
        if config.qk_norm == QkNorm::None {
            return Ok(device.unused());
        }
        let mut weights = self.weight(NormSlot::Query(layer), config)?;
        weights.extend(self.weight(NormSlot::Key(layer), config)?);
        let n = weights.len();
        Ok(device.floats(weights, [n]))
    }

    /// The decoder's modules. Layers are made from the last to the first, since each join holds the weight of what comes behind it.
    pub(crate) fn into_weights(mut self, config: &DecoderConfig, device: &KernelDevice) -> Result<Weights> {
        let final_norm = self.norm(NormSlot::Final, config, device)?;
        let has_before = config.norm_placement.has_before();
        let mut layers: Vec<DecoderLayer> = Vec::with_capacity(config.layers.len());
        for layer in (0..config.layers.len()).rev() {
            let before = |parts: &mut Self, norm| has_before.then(|| parts.norm(norm, config, device)).transpose();
            let attention_norm = before(&mut self, NormSlot::Attention(layer))?;
            let mlp_norm = before(&mut self, NormSlot::Mlp(layer))?;
            let behind = match layers.last() {
                Some(next) => next.attention_norm.as_ref(),
                None => Some(&final_norm),
            };
            layers.push(DecoderLayer {
                attention: Attention {
                    qkv: self.matrix(MatrixSlot::Qkv(layer))?,
                    output: self.matrix(MatrixSlot::Output(layer))?,
                    qk_norm_weights: self.qk_norm_weights(layer, config, device)?,
                    join: self.join(NormSlot::AfterAttention(layer), mlp_norm.as_ref(), config, device)?,
                    rope: config.rope_spec(layer),
                    uses_local_rope: config.layers[layer].rope == LayerRope::Local,
                },
                mlp: Mlp {
                    gate_up: self.matrix(MatrixSlot::GateUp(layer))?,
                    down: self.matrix(MatrixSlot::Down(layer))?,
                    join: self.join(NormSlot::AfterMlp(layer), behind, config, device)?,
                    activation: config.activation,
                },
                attention_norm,
                mlp_norm,
            });
        }
        layers.reverse();
        Ok(Weights {
            embedding: self.matrix(MatrixSlot::Embedding)?,
            embedding_scale: config.embedding_scale,
            layers,
            final_norm,
            head: if config.tied_embeddings { None } else { Some(self.matrix(MatrixSlot::Head)?) },
            logit_softcap: config.logit_softcap,
        })
    }
}
