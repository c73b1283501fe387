//! The shape of a decoder, whatever file it came from.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, AttentionSpec, RopeSpec};

use crate::RopeScaling;

/// Everything that a decoder's computation depends on besides its weights.
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
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Tokens that the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in normalisation.
    pub norm_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary frequencies are scaled for longer contexts.
    pub rope_scaling: RopeScaling,
    /// What is applied to the MLP's gate.
    pub activation: Activation,
    /// Whether the output head is the embedding matrix.
    pub tied_embeddings: bool,
    /// Whether query, key, value and output projections have biases.
    pub attention_bias: bool,
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
            ("num_hidden_layers", self.layers),
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
        if self.max_position_embeddings == 0 {
            return Err(Error::bad_model("max_position_embeddings must be at least 1, found 0"));
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0 && self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return Err(Error::bad_model(format!(
                "rms_norm_eps and rope_theta must be finite and positive, found {} and {}",
                self.norm_epsilon, self.rope_theta
            )));
        }
        Ok(self)
    }

    /// The attention's shape for a cache of `context` tokens.
    pub fn attention_spec(&self, context: usize) -> AttentionSpec {
        AttentionSpec::new(self.heads, self.kv_heads, self.head_dim, context)
    }

    /// Which part of a head is rotated.
    pub fn rope_spec(&self) -> RopeSpec {
        RopeSpec::new(self.head_dim)
    }

    /// Bytes of a KV cache for `context` tokens (f32 keys and values of all layers).
    pub fn cache_bytes(&self, context: usize) -> u64 {
        2 * self.layers as u64 * context as u64 * (self.kv_heads * self.head_dim) as u64 * 4
    }
}
