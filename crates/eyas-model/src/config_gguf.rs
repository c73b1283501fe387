//! GGUF metadata to a decoder's shape. Keys: the GGUF specification of ggml; what they leave open is as llama.cpp has it.

use eyas_core::{Error, Result};
use eyas_kernels::{Activation, QkNorm};
use eyas_weights::{GgufArray, GgufMetadata, GgufValue};

use crate::{
    DecoderConfig, EncoderConfig, LayerKind, NormPlacement, Rope, RopeScaling,
    family::{Family, supported},
    gguf_family,
};

impl DecoderConfig {
    /// Reads a GGUF file's metadata. Fails with `unsupported-model` where it names an architecture or a feature that Eyas does not have, or a key
    /// of the architecture that is not known; and with `bad-model` where a key is missing or of the wrong type.
    pub fn from_gguf(metadata: &GgufMetadata) -> Result<Self> {
        let architecture = metadata
            .get_str("general.architecture")?
            .ok_or_else(|| Error::bad_model("GGUF: general.architecture is missing"))?
            .to_owned();
        let named = |family: &Family| family.gguf_architecture() == Some(architecture.as_str());
        let family = Family::ALL.into_iter().find(named).ok_or_else(|| {
            let names = supported(Family::gguf_architecture);
            if EncoderConfig::describes_gguf(metadata) {
                return Error::unsupported(format!(
                    "GGUF: general.architecture {architecture:?} is an encoder, which embeds texts, but writes none"
                ));
            }
            Error::unsupported(format!("GGUF: general.architecture {architecture:?} is not supported; supported: {names}"))
        })?;
        let keys = Keys { metadata, architecture: &architecture };
        if keys.optional("expert_count")?.is_some_and(|count| count > 0) {
            return Err(Error::unsupported(format!("GGUF: mixtures of experts are not supported ({architecture}.expert_count)")));
        }
        keys.check_known()?;
        keys.expect_flag("attention.causal", true)?;
        Self::of_gguf_family(&keys, family)
    }

    /// Reads the metadata of a family, whose keys were checked.
    pub(crate) fn of_gguf_family(keys: &Keys, family: Family) -> Result<Self> {
        let decoder = Self::llama_like_gguf(keys, family)?;
        gguf_family::adapt(decoder, keys, family)?.validate().map_err(|error| error.context("GGUF"))
    }

    /// What all families have in common, read as Llama has it.
    fn llama_like_gguf(keys: &Keys, family: Family) -> Result<Self> {
        let metadata = keys.metadata;
        let heads = keys.required("attention.head_count")?;
        let hidden_size = keys.required("embedding_length")?;
        let head_dim = keys.optional("attention.key_length")?.unwrap_or(hidden_size / heads.max(1));
        if let Some(value_length) = keys.optional("attention.value_length")?
            && value_length != head_dim
        {
            return Err(Error::unsupported(format!(
                "GGUF: heads of keys and values must have one size, found {head_dim} and {value_length}"
            )));
        }
        let layers = keys.required("block_count")?;
        if layers > LARGEST_LAYERS {
            return Err(Error::bad_model(format!("GGUF: block_count must be at most {LARGEST_LAYERS}, found {layers}")));
        }
        let id = |key: &str| -> Result<Vec<u32>> {
            Ok(metadata.get_u64(key)?.and_then(|id| u32::try_from(id).ok()).into_iter().collect())
        };
        let mut eos_token_ids = id("tokenizer.ggml.eos_token_id")?;
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            eos_token_ids.extend(id(key)?);
        }
        eos_token_ids.dedup();
        Ok(Self {
            vocab_size: vocab_size(keys)?,
            hidden_size,
            intermediate_size: keys.required("feed_forward_length")?,
            layers: vec![LayerKind::FULL; layers],
            heads,
            kv_heads: keys.optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rotary_dim: keys.optional("rope.dimension_count")?.unwrap_or(head_dim),
            max_position_embeddings: keys.optional("context_length")?.unwrap_or(2048),
            norm_epsilon: keys.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5) as f32,
            norm_weight_offset: 0.0,
            norm_placement: NormPlacement::Before,
            qk_norm: QkNorm::None,
            rope: Rope { theta: keys.float("rope.freq_base")?.unwrap_or(10_000.0), scaling: rope_scaling(keys)? },
            local_rope: None,
            attention_scale: (1.0 / (head_dim.max(1) as f64).sqrt()) as f32,
            attention_softcap: None,
            activation: Activation::Silu,
            embedding_scale: if family.scales_embedding_by_width() { (hidden_size as f64).sqrt() as f32 } else { 1.0 },
            residual_multiplier: 1.0,
            logit_divisor: 1.0,
            logit_softcap: None,
            // Whether the head is tied and whether there are biases shows in the tensors.
            tied_embeddings: false,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            bos_token_ids: id("tokenizer.ggml.bos_token_id")?,
            eos_token_ids,
            interleaved_rope_rows: family.has_interleaved_gguf_rows(),
            architecture: keys.architecture.to_owned(),
        })
    }
}

/// Nothing that runs in a browser comes near this; a hostile file does.
pub(crate) const LARGEST_LAYERS: usize = 4096;

/// Keys behind the architecture's name that are read, or that say nothing about the computation.
pub(crate) const KNOWN: [&str; 34] = [
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "tensor_data_layout",
    "use_parallel_residual",
    "expert_count",
    "expert_used_count",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.causal",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "pooling_type",
];

/// Tokens of the vocabulary.
pub(crate) fn vocab_size(keys: &Keys) -> Result<usize> {
    match keys.optional("vocab_size")? {
        Some(size) => Ok(size),
        None => keys
            .metadata
            .get_array("tokenizer.ggml.tokens")?
            .map(GgufArray::len)
            .ok_or_else(|| Error::bad_model("GGUF: neither a vocab_size nor tokenizer.ggml.tokens is there")),
    }
}

fn rope_scaling(keys: &Keys) -> Result<RopeScaling> {
    let kind = keys.metadata.get_str(&keys.name("rope.scaling.type"))?.unwrap_or("none");
    let factor = || -> Result<f64> {
        keys.float("rope.scaling.factor")?
            .filter(|factor| factor.is_finite() && *factor > 0.0)
            .ok_or_else(|| Error::bad_model("GGUF: RoPE scaling needs a positive rope.scaling.factor"))
    };
    let original = || {
        keys.optional("rope.scaling.original_context_length")?
            .ok_or_else(|| Error::bad_model("GGUF: RoPE scaling needs rope.scaling.original_context_length"))
    };
    match kind {
        // Phi 3's files do not name the kind; their factors are tensors.
        "none" | "longrope" => match keys.float("rope.scaling.attn_factor")? {
            Some(attention_factor) => {
                Ok(RopeScaling::Long { short: Vec::new(), long: Vec::new(), original_context: original()?, attention_factor })
            }
            None if kind == "longrope" => Err(Error::bad_model("GGUF: LongRoPE needs rope.scaling.attn_factor")),
            None => Ok(RopeScaling::None),
        },
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        "yarn" => {
            let factor = factor()?;
            Ok(RopeScaling::Yarn {
                factor,
                original_context: original()? as f64,
                beta_fast: keys.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                attention_factor: if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 },
                truncate: true,
            })
        }
        other => Err(Error::unsupported(format!(
            "GGUF: RoPE scaling {other:?} is not supported; supported: none, linear, yarn, longrope"
        ))),
    }
}

/// Keys that begin with the architecture's name.
pub(crate) struct Keys<'a> {
    pub(crate) metadata: &'a GgufMetadata,
    pub(crate) architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// Fails where a key of the architecture is not known: it might change the computation.
    fn check_known(&self) -> Result<()> {
        self.check_among(&KNOWN)?;
        // Whether a scaling was trained with: only where there is none, `false` means no positions at all to some.
        self.flag("rope.scaling.finetuned")?;
        self.expect_flag("use_parallel_residual", false)
    }

    /// Fails where the flag is there and has another value.
    pub(crate) fn expect_flag(&self, key: &str, value: bool) -> Result<()> {
        match self.flag(key)? {
            Some(found) if found != value => {
                Err(Error::unsupported(format!("GGUF: {} = {found} is not supported", self.name(key))))
            }
            _ => Ok(()),
        }
    }

    /// Which layers have a window, as `attention.sliding_window_pattern` lists it, or says of how many layers one has none: the first where `full_first`,
    /// else the last. Where the key is absent, it is one of `every`. Fails with `bad-model` for a list of another length than `layers`.
    pub(crate) fn window_layers(&self, layers: usize, every: usize, full_first: bool) -> Result<Vec<bool>> {
        let name = self.name("attention.sliding_window_pattern");
        if let Some(GgufValue::Array(list)) = self.metadata.get(&name) {
            return match list {
                GgufArray::Bool(list) if list.len() == layers => Ok(list.clone()),
                GgufArray::Bool(list) => {
                    Err(Error::bad_model(format!("GGUF: {name} lists {} layers, but the model has {layers}", list.len())))
                }
                _ => Err(Error::bad_model(format!("GGUF: {name} must be a whole number or a list of booleans"))),
            };
        }
        let every = self.optional("attention.sliding_window_pattern")?.unwrap_or(every);
        let full = if full_first { 0 } else { every.saturating_sub(1) };
        Ok((0..layers).map(|layer| every == 0 || layer % every != full).collect())
    }

    /// The same for whatever knows these keys.
    pub(crate) fn check_among(&self, known: &[&str]) -> Result<()> {
        let mut own = self.metadata.keys().filter_map(|key| key.strip_prefix(self.architecture)?.strip_prefix('.'));
        match own.find(|key| !known.contains(key)) {
            None => Ok(()),
            Some(key) => {
                Err(Error::unsupported(format!("GGUF: {} is not known and might change what the model computes", self.name(key))))
            }
        }
    }

    pub(crate) fn optional(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.get_u64(&name)? {
            None => Ok(None),
            Some(value) => {
                usize::try_from(value).map(Some).map_err(|_| Error::bad_model(format!("GGUF: {name} is absurd: {value}")))
            }
        }
    }

    pub(crate) fn required(&self, key: &str) -> Result<usize> {
        self.optional(key)?.ok_or_else(|| Error::bad_model(format!("GGUF: {} is missing", self.name(key))))
    }

    pub(crate) fn float(&self, key: &str) -> Result<Option<f64>> {
        Ok(self.metadata.get_f32(&self.name(key))?.map(f64::from))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.metadata.get_bool(&self.name(key))
    }

    /// Fails where one of the keys is there: the family has no such feature.
    pub(crate) fn refuse(&self, keys: &[&str]) -> Result<()> {
        match keys.iter().find(|key| self.metadata.get(&self.name(key)).is_some()) {
            None => Ok(()),
            Some(key) => Err(Error::unsupported(format!(
                "GGUF: {} is not known for {} and might change what the model computes",
                self.name(key),
                self.architecture
            ))),
        }
    }
}
