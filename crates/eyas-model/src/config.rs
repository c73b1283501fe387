//! The shape of a decoder, whatever file it came from.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, AttentionSpec, QkNorm, RopeSpec};

use crate::{LayerKind, LayerRope, NormPlacement, Rope};

/// Everything that a decoder's computation depends on besides its weights. Families differ in these values only; what a field does where it is
/// off its neutral value is one of `eyas-kernels`' operations.
#[allow(clippy::struct_excessive_bools, reason = "each is a yes or no of the file's own configuration")]
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The architecture as the file names it, e.g. `llama`.
    pub architecture: String,
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Windows and position embeddings, one for each layer.
    pub layers: Vec<LayerKind>,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Leading dimensions of a head that are rotated.
    pub rotary_dim: usize,
    /// Tokens that the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in normalisation.
    pub norm_epsilon: f32,
    /// Added to every normalisation's stored weight: 1 where files store the difference from 1.
    pub norm_weight_offset: f32,
    /// Where a layer's normalisations stand.
    pub norm_placement: NormPlacement,
    /// How queries and keys are normalised.
    pub qk_norm: QkNorm,
    /// Rotary frequencies.
    pub rope: Rope,
    /// Rotary frequencies of the layers that use others.
    pub local_rope: Option<Rope>,
    /// The factor on attention's scores.
    pub attention_scale: f32,
    /// What attention's scores are bent below.
    pub attention_softcap: Option<f32>,
    /// What is applied to the MLP's gate.
    pub activation: Activation,
    /// The factor on embeddings.
    pub embedding_scale: f32,
    /// The factor on what attention and MLP add to the residual stream.
    pub residual_multiplier: f32,
    /// What logits are divided by.
    pub logit_divisor: f32,
    /// What logits are bent below.
    pub logit_softcap: Option<f32>,
    /// Whether the output head is the embedding matrix.
    pub tied_embeddings: bool,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// Tokens that begin a sequence, as the model's configuration has them.
    pub bos_token_ids: Vec<u32>,
    /// Tokens that end an answer, as the model's configuration has them.
    pub eos_token_ids: Vec<u32>,
    /// Whether query and key rows are stored with rotary pairs side by side, as GGUF's llama architecture has them.
    pub interleaved_rope_rows: bool,
}

/// Nothing that runs in a browser comes near these; a hostile configuration does.
const LARGEST_SIZE: usize = 1 << 20;

impl DecoderConfig {
    /// Checks that sizes are positive, bounded and fit each other.
    pub(crate) fn validate(self) -> Result<Self> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.layers.len()),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
        ];
        for (name, size) in sizes {
            if size == 0 || size > LARGEST_SIZE {
                return Err(Error::bad_model(format!("{name} must be between 1 and {LARGEST_SIZE}, found {size}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(Error::bad_model(format!(
                "num_attention_heads ({}) must be a multiple of num_key_value_heads ({})",
                self.heads, self.kv_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim > 256 {
            return Err(Error::unsupported(format!("head_dim must be even and at most 256, found {}", self.head_dim)));
        }
        if !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > self.head_dim {
            return Err(Error::unsupported(format!(
                "the rotated part of a head must be even and at most head_dim ({}), found {}",
                self.head_dim, self.rotary_dim
            )));
        }
        if self.max_position_embeddings == 0 {
            return Err(Error::bad_model("max_position_embeddings must be at least 1, found 0"));
        }
        if self.layers.iter().any(|layer| layer.window == Some(0)) {
            return Err(Error::bad_model("sliding_window must be at least 1, found 0"));
        }
        if self.layers.iter().any(|layer| layer.rope == LayerRope::Local) && self.local_rope.is_none() {
            return Err(Error::internal("a layer uses local rotary frequencies, but there are none"));
        }
        self.check_factors()?;
        for rope in [Some(&self.rope), self.local_rope.as_ref()].into_iter().flatten() {
            rope.check(self.rotary_dim)?;
        }
        Ok(self)
    }

    fn check_factors(&self) -> Result<()> {
        let factors = [
            ("rms_norm_eps", Some(self.norm_epsilon), true),
            ("the attention's scale", Some(self.attention_scale), false),
            ("the attention's soft cap", self.attention_softcap, false),
            ("the embedding's scale", Some(self.embedding_scale), false),
            ("the residual multiplier", Some(self.residual_multiplier), false),
            ("the logits' divisor", Some(self.logit_divisor), false),
            ("the logits' soft cap", self.logit_softcap, false),
        ];
        for (name, value, may_be_zero) in factors {
            let Some(value) = value else { continue };
            if !value.is_finite() || value < 0.0 || (value <= 0.0 && !may_be_zero) {
                return Err(Error::bad_model(format!("{name} must be finite and positive, found {value}")));
            }
        }
        Ok(())
    }

    /// The shape of a layer's attention for a cache of `capacity` tokens that are computed at most `chunk` at a time.
    pub fn attention_spec(&self, layer: usize, capacity: usize, chunk: usize) -> AttentionSpec {
        let kind = self.layers[layer];
        let rows = kind.cache_rows(capacity, chunk);
        let mut spec = AttentionSpec::new(self.heads, self.kv_heads, self.head_dim, rows).with_scale(self.attention_scale);
        if let Some(cap) = self.attention_softcap {
            spec = spec.with_softcap(cap);
        }
        match kind.window_within(capacity) {
            Some(window) => spec.with_window(window),
            None => spec,
        }
    }

    /// What happens to a layer's queries and keys before attention.
    pub fn rope_spec(&self, layer: usize) -> RopeSpec {
        let rotary_dim = if self.layers[layer].rope == LayerRope::None { 0 } else { self.rotary_dim };
        RopeSpec { rotary_dim, qk_norm: self.qk_norm }
    }

    /// Bytes of a KV cache for `capacity` tokens that are computed at most `chunk` at a time (f32 keys and values of all layers).
    pub fn cache_bytes(&self, capacity: usize, chunk: usize) -> u64 {
        let rows: u64 = self.layers.iter().map(|layer| layer.cache_rows(capacity, chunk) as u64).sum();
        2 * rows * (self.kv_heads * self.head_dim) as u64 * 4
    }
}
