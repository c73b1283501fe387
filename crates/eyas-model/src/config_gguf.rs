//! GGUF metadata to a decoder's shape. Keys: the GGUF specification of ggml.

use eyas_core::{Error, Result};
use eyas_kernels::Activation;
use eyas_weights::GgufMetadata;

use crate::{DecoderConfig, RopeScaling};

impl DecoderConfig {
    /// Reads a GGUF file's metadata. Fails with `unsupported-model` where it names an architecture or a feature that Eyas does not have, and
    /// with `bad-model` where a key is missing or of the wrong type.
    pub fn from_gguf(metadata: &GgufMetadata) -> Result<Self> {
        let architecture = metadata
            .get_str("general.architecture")?
            .ok_or_else(|| Error::bad_model("GGUF: general.architecture is missing"))?
            .to_owned();
        if architecture != "llama" {
            return Err(Error::unsupported(format!(
                "GGUF: general.architecture {architecture:?} is not supported; supported: \"llama\""
            )));
        }
        let keys = Keys { metadata, architecture: &architecture };
        if keys.optional("expert_count")?.is_some_and(|count| count > 0) {
            return Err(Error::unsupported("GGUF: mixtures of experts are not supported (llama.expert_count)"));
        }
        let heads = keys.required("attention.head_count")?;
        let hidden_size = keys.required("embedding_length")?;
        let head_dim = keys.optional("attention.key_length")?.unwrap_or(hidden_size / heads.max(1));
        if let Some(rotary) = keys.optional("rope.dimension_count")?
            && rotary != head_dim
        {
            return Err(Error::unsupported(format!(
                "GGUF: llama.rope.dimension_count {rotary} differs from the head size {head_dim}"
            )));
        }
        let vocab_size = match keys.optional("vocab_size")? {
            Some(size) => size,
            None => metadata
                .get_array("tokenizer.ggml.tokens")?
                .map(eyas_weights::GgufArray::len)
                .ok_or_else(|| Error::bad_model("GGUF: neither llama.vocab_size nor tokenizer.ggml.tokens is there"))?,
        };
        let id = |key: &str| -> Result<Vec<u32>> {
            Ok(metadata.get_u64(key)?.and_then(|id| u32::try_from(id).ok()).into_iter().collect())
        };
        let mut eos_token_ids = id("tokenizer.ggml.eos_token_id")?;
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            eos_token_ids.extend(id(key)?);
        }
        eos_token_ids.dedup();
        Self {
            vocab_size,
            hidden_size,
            intermediate_size: keys.required("feed_forward_length")?,
            layers: keys.required("block_count")?,
            heads,
            kv_heads: keys.optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            max_position_embeddings: keys.optional("context_length")?.unwrap_or(2048),
            norm_epsilon: keys.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5) as f32,
            rope_theta: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: rope_scaling(&keys)?,
            activation: Activation::Silu,
            // Whether the head is tied and whether there are biases shows in the tensors.
            tied_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            bos_token_ids: id("tokenizer.ggml.bos_token_id")?,
            eos_token_ids,
            interleaved_rope_rows: true,
            architecture: architecture.clone(),
        }
        .validate()
        .map_err(|error| error.context("GGUF"))
    }
}

fn rope_scaling(keys: &Keys) -> Result<RopeScaling> {
    let kind = keys.metadata.get_str(&keys.name("rope.scaling.type"))?.unwrap_or("none");
    let factor = || -> Result<f64> {
        keys.float("rope.scaling.factor")?
            .filter(|factor| factor.is_finite() && *factor > 0.0)
            .ok_or_else(|| Error::bad_model("GGUF: RoPE scaling needs a positive rope.scaling.factor"))
    };
    match kind {
        "none" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        other => Err(Error::unsupported(format!("GGUF: RoPE scaling {other:?} is not supported; supported: none, linear"))),
    }
}

/// Keys that begin with the architecture's name.
struct Keys<'a> {
    metadata: &'a GgufMetadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn optional(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.get_u64(&name)? {
            None => Ok(None),
            Some(value) => {
                usize::try_from(value).map(Some).map_err(|_| Error::bad_model(format!("GGUF: {name} is absurd: {value}")))
            }
        }
    }

    fn required(&self, key: &str) -> Result<usize> {
        self.optional(key)?.ok_or_else(|| Error::bad_model(format!("GGUF: {} is missing", self.name(key))))
    }

    fn float(&self, key: &str) -> Result<Option<f64>> {
        Ok(self.metadata.get_f32(&self.name(key))?.map(f64::from))
    }
}
