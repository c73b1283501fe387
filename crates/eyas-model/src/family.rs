//! The decoder families: their names, and what `config.json` may hold for each.

/// A family of decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    SmolLm3,
    Gemma2,
    Gemma3,
    Phi3,
    Olmo2,
    Granite,
}

impl Family {
    pub(crate) const ALL: [Self; 10] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
        Self::Olmo2,
        Self::Granite,
    ];

    /// `model_type` in `config.json`.
    pub(crate) const fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::SmolLm3 => "smollm3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
            Self::Phi3 => "phi3",
            Self::Olmo2 => "olmo2",
            Self::Granite => "granite",
        }
    }

    /// `general.architecture` in a GGUF file, where it is not that of another family: Mistral's files call themselves llama.
    pub(crate) const fn gguf_architecture(self) -> Option<&'static str> {
        match self {
            Self::Mistral => None,
            Self::Gemma3 => Some("gemma3"),
            other => Some(other.model_type()),
        }
    }

    /// Whether GGUF files have the rows of queries and keys with rotary pairs side by side.
    pub(crate) const fn has_interleaved_gguf_rows(self) -> bool {
        matches!(self, Self::Llama | Self::SmolLm3 | Self::Granite)
    }

    /// Whether stored normalisation weights are differences from 1 in safetensors; GGUF's converter adds the 1.
    pub(crate) const fn stores_norm_differences(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Whether its embedding is multiplied by the square root of its width.
    pub(crate) const fn scales_embedding_by_width(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Keys of `config.json` that this family reads besides those that all read.
    pub(crate) const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Llama => &["attention_bias", "mlp_bias"],
            Self::Mistral => &["sliding_window"],
            Self::Qwen2 => &["use_sliding_window", "sliding_window", "max_window_layers", "layer_types"],
            Self::Qwen3 => &["attention_bias", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types"],
            Self::SmolLm3 => &[
                "attention_bias",
                "mlp_bias",
                "no_rope_layers",
                "no_rope_layer_interval",
                "use_sliding_window",
                "sliding_window",
                "max_window_layers",
                "layer_types",
            ],
            Self::Gemma2 => &[
                "attention_bias",
                "hidden_activation",
                "query_pre_attn_scalar",
                "sliding_window",
                "layer_types",
                "final_logit_softcapping",
                "attn_logit_softcapping",
            ],
            Self::Gemma3 => &[
                "attention_bias",
                "hidden_activation",
                "query_pre_attn_scalar",
                "sliding_window",
                "sliding_window_pattern",
                "_sliding_window_pattern",
                "layer_types",
                "final_logit_softcapping",
                "attn_logit_softcapping",
                "rope_local_base_freq",
            ],
            Self::Phi3 => &["original_max_position_embeddings", "partial_rotary_factor", "sliding_window"],
            Self::Olmo2 => &["attention_bias"],
            Self::Granite => &[
                "attention_bias",
                "mlp_bias",
                "embedding_multiplier",
                "residual_multiplier",
                "attention_multiplier",
                "logits_scaling",
            ],
        }
    }
}

/// The names of all families, for messages.
pub(crate) fn supported(names: impl Fn(Family) -> Option<&'static str>) -> String {
    Family::ALL.into_iter().filter_map(names).collect::<Vec<_>>().join(", ")
}
