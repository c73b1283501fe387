//! Burn modules: a decoder over packed weights, described by its configuration, and its KV cache; and an encoder likewise.
//!
//! The modules own the weights and say what is computed in which order; every operation is one of `eyas-kernels`.
//!
//! What it does not do: no text, no sampling, no sessions, no files (it reads tensors through `eyas-weights`), no training.
//!
//! ```
//! use eyas_model::DecoderConfig;
//! let config = serde_json::json!({
//!     "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
//!     "num_key_value_heads": 4, "vocab_size": 512, "max_position_embeddings": 512, "rms_norm_eps": 1e-5
//! });
//! assert_eq!(DecoderConfig::from_hf(&config).unwrap().head_dim, 8);
//! ```

mod attention;
mod bidirectional_decoder;
mod bidirectional_gemma;
mod canary;
mod classifier_config;
mod classifier_head;
mod config;
mod config_gguf;
mod config_hf;
mod config_keys;
mod decoder;
mod decoder_layer;
mod dense;
mod encoder;
mod encoder_config;
mod encoder_family;
mod encoder_gguf;
mod encoder_layer;
mod encoder_layout;
mod encoder_loader;
mod encoder_names;
mod encoder_weights;
mod family;
mod fp8_config;
mod gguf_family;
mod gpu_buffers;
#[cfg(feature = "gpu")]
mod guessed_step;
mod hf_family;
mod kv_cache;
mod layer_kind;
mod layer_norm;
mod layout;
mod linear;
mod loader;
mod matrix_builder;
mod mlp;
mod modern_bert;
mod module_parts;
mod norm;
mod padded_tokens;
mod pooling;
mod quantize_policy;
mod residual_join;
mod rope;
mod rope_tables;
mod tensor_names;
mod token_ids;

pub use classifier_config::{ClassifierConfig, ScoreKind};
pub use config::DecoderConfig;
pub use decoder::{Decoder, LoadPlan, LogitsOf};
pub use dense::DenseConfig;
pub use encoder::Encoder;
pub use encoder_config::EncoderConfig;
pub use encoder_layout::encoder_target_kind;
pub use encoder_loader::{planned_encoder_bytes, planned_encoder_matrices};
pub use fp8_config::Fp8Config;
pub use gpu_buffers::{GpuNeed, decoder_gpu_need, encoder_gpu_need};
pub use kv_cache::KvCache;
pub use layer_kind::{LayerKind, LayerRope, NormPlacement};
pub use loader::{planned_bytes, planned_matrices};
pub use pooling::Pooling;
pub use quantize_policy::target_kind;
pub use rope::{Rope, RopeScaling, rope_table};
pub use token_ids::token_ids;
