//! The encoder families: their names, what `config.json` may hold for each, and how its keys are called.

use eyas_kernels::Activation;

use crate::family::Family;

/// A family of encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderFamily {
    Bert,
    DistilBert,
    Roberta,
    XlmRoberta,
    ModernBert,
    /// Gemma 3's decoder whose tokens see each other; its shape is a [`crate::DecoderConfig`].
    Gemma3,
}

/// What `config.json` calls the sizes that all families have.
pub(crate) struct SizeKeys {
    pub(crate) width: &'static str,
    pub(crate) mlp_width: &'static str,
    pub(crate) layers: &'static str,
    pub(crate) heads: &'static str,
    pub(crate) activation: &'static str,
}

const KEYS: SizeKeys = SizeKeys {
    width: "hidden_size",
    mlp_width: "intermediate_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    activation: "hidden_act",
};

const MODERN_KEYS: SizeKeys = SizeKeys { activation: "hidden_activation", ..KEYS };

const DISTIL_KEYS: SizeKeys =
    SizeKeys { width: "dim", mlp_width: "hidden_dim", layers: "n_layers", heads: "n_heads", activation: "activation" };

/// What every family reads or checks.
pub(crate) const READ: [&str; 11] = [
    "model_type",
    "vocab_size",
    "max_position_embeddings",
    "pad_token_id",
    "problem_type",
    "id2label",
    "num_labels",
    "position_embedding_type",
    "bos_token_id",
    "tie_word_embeddings",
    // What a cross-encoder is said to make of its logits; scores are those of transformers' pipeline.
    "sentence_transformers",
];

/// Keys of BERT and of what followed it directly.
const BERT_KEYS: [&str; 18] = [
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "type_vocab_size",
    // Training, and parts that an embedding or a classification does not use.
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
    "classifier_dropout",
    "directionality",
    "eos_token_id",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
];

const DISTIL_BERT_KEYS: [&str; 10] = [
    "dim",
    "hidden_dim",
    "n_layers",
    "n_heads",
    "activation",
    // Training.
    "dropout",
    "qa_dropout",
    "seq_classif_dropout",
    "sinusoidal_pos_embds",
    "tie_weights_",
];

const MODERN_BERT_KEYS: [&str; 29] = [
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_activation",
    "norm_eps",
    "norm_bias",
    "attention_bias",
    "mlp_bias",
    "local_attention",
    "global_attn_every_n_layers",
    "global_rope_theta",
    "local_rope_theta",
    "layer_types",
    "rope_parameters",
    "classifier_pooling",
    "classifier_bias",
    "classifier_activation",
    // Training, special tokens, and what the reference does not read either.
    "classifier_dropout",
    "cls_token_id",
    "decoder_bias",
    "embedding_dropout",
    "eos_token_id",
    "initializer_cutoff_factor",
    "layer_norm_eps",
    "mlp_dropout",
    "reference_compile",
    "repad_logits_with_grad",
    "sparse_pred_ignore_index",
];

impl EncoderFamily {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::ModernBert, Self::Gemma3];

    /// `model_type` in `config.json`.
    pub(crate) const fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::ModernBert => "modernbert",
            Self::Gemma3 => Family::Gemma3.model_type(),
        }
    }

    /// The family of a `model_type`.
    pub(crate) fn named(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.model_type() == model_type)
    }

    /// Keys of `config.json` that the family knows besides those of all.
    pub(crate) fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Bert | Self::Roberta | Self::XlmRoberta => &BERT_KEYS,
            Self::DistilBert => &DISTIL_BERT_KEYS,
            Self::ModernBert => &MODERN_BERT_KEYS,
            Self::Gemma3 => &[],
        }
    }

    pub(crate) const fn size_keys(self) -> SizeKeys {
        match self {
            Self::Bert | Self::Roberta | Self::XlmRoberta | Self::Gemma3 => KEYS,
            Self::DistilBert => DISTIL_KEYS,
            Self::ModernBert => MODERN_KEYS,
        }
    }

    /// What tensors' names begin with where the file holds more than the encoder.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::DistilBert => "distilbert.",
            Self::Roberta | Self::XlmRoberta => "roberta.",
            Self::ModernBert | Self::Gemma3 => "model.",
        }
    }

    /// The row of the first token's position: RoBERTa leaves out those up to the padding token's id.
    pub(crate) const fn first_position(self, pad_token_id: usize) -> usize {
        match self {
            Self::Bert | Self::DistilBert | Self::ModernBert | Self::Gemma3 => 0,
            Self::Roberta | Self::XlmRoberta => pad_token_id.saturating_add(1),
        }
    }

    /// Whether there are token types, of which a single text has the first.
    pub(crate) const fn has_token_types(self) -> bool {
        !matches!(self, Self::DistilBert | Self::ModernBert | Self::Gemma3)
    }

    /// Whether a pair's texts differ in type: the others' tokenizers give all tokens the first, or there are none.
    pub(crate) const fn reads_token_types(self) -> bool {
        matches!(self, Self::Bert)
    }

    /// Whether positions are a table that is added to the words; otherwise queries and keys are rotated.
    pub(crate) const fn has_position_table(self) -> bool {
        !matches!(self, Self::ModernBert | Self::Gemma3)
    }

    /// Whether a layer's normalisations stand before its halves, whose MLP is gated, and one stands behind the last layer.
    pub(crate) const fn is_pre_norm(self) -> bool {
        matches!(self, Self::ModernBert)
    }

    /// What stands between the two matrices of a classification head, where `config.json` does not say it.
    pub(crate) const fn head_activation(self) -> Activation {
        match self {
            Self::Bert | Self::Roberta | Self::XlmRoberta | Self::Gemma3 => Activation::Tanh,
            Self::DistilBert => Activation::Relu,
            Self::ModernBert => Activation::Gelu,
        }
    }
}
