//! What a load would take, by the headers of its files alone.

use eyas_core::{LoadOptions, Result};
use eyas_model::{
    DecoderConfig, EncoderConfig, planned_bytes, planned_encoder_bytes, planned_encoder_matrices, planned_matrices,
};
use eyas_weights::{Checkpoint, ModelFiles};
use serde::Serialize;

use crate::{
    ModelKind, checkpoint_open::open_checkpoint, embedding_recipe::EmbeddingRecipe, encoder_engine::max_tokens,
    engine::context_tokens, model_bundle::open_config, opened_model::open_encoder_config,
};

/// What a load would take. Weights and caches are exact; scratch and staging are upper bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadNeed {
    /// Tokens that prompt and answer may take together.
    pub context_tokens: usize,
    /// Bytes of the weights on the device.
    pub weight_bytes: u64,
    /// Name and bytes of each matrix.
    pub matrices: Vec<(String, u64)>,
    /// Bytes of one session's keys and values.
    pub cache_bytes: u64,
    /// Bytes of intermediate results.
    pub scratch_bytes: u64,
    /// Bytes that are held besides the finished weights while the largest matrix is packed.
    pub staging_bytes: u64,
    /// The largest single buffer.
    pub largest_buffer_bytes: u64,
    /// Bytes of the model's tensors in its files.
    pub download_bytes: u64,
}

/// A model's configuration and tensor headers.
pub struct ModelHeaders {
    checkpoint: Checkpoint,
    config: Config,
}

enum Config {
    Decoder(Box<DecoderConfig>),
    Encoder(Box<EncoderConfig>, EmbeddingRecipe, Projections),
}

/// Bytes of projections behind the pooling.
#[derive(Default)]
struct Projections {
    /// Each on the device.
    device_bytes: Vec<u64>,
    /// All in their files.
    stored_bytes: u64,
}

impl ModelHeaders {
    /// Reads them, and no weights.
    pub async fn open(files: &ModelFiles) -> Result<Self> {
        let checkpoint = open_checkpoint(files).await?;
        let config = match ModelKind::of_opened(files, &checkpoint).await? {
            ModelKind::Encoder => {
                let config = open_encoder_config(files, &checkpoint).await?;
                let recipe = EmbeddingRecipe::of(files, &checkpoint, config.hidden_size).await?;
                let mut projections = Projections::default();
                for (path, dense) in &recipe.projections {
                    let own_file = EmbeddingRecipe::open_projection(files, path).await?;
                    let tensors = own_file.as_ref().unwrap_or(&checkpoint);
                    projections.device_bytes.push(dense.planned_bytes(tensors).map_err(|error| error.context(path))?);
                    projections.stored_bytes += own_file.as_ref().map_or(0, Checkpoint::total_bytes);
                }
                Config::Encoder(Box::new(config), recipe, projections)
            }
            ModelKind::Decoder => Config::Decoder(Box::new(open_config(files, &checkpoint).await?)),
        };
        Ok(Self { checkpoint, config })
    }

    /// What a load with `options` would take.
    pub fn need(&self, options: &LoadOptions) -> Result<LoadNeed> {
        options.validate()?;
        match &self.config {
            Config::Decoder(config) => decoder_need(&self.checkpoint, config, options),
            Config::Encoder(config, recipe, projections) => {
                encoder_need(&self.checkpoint, config, (recipe, projections), options)
            }
        }
    }
}

fn encoder_need(
    checkpoint: &Checkpoint,
    config: &EncoderConfig,
    (recipe, projections): (&EmbeddingRecipe, &Projections),
    options: &LoadOptions,
) -> Result<LoadNeed> {
    let tokens = max_tokens(options.context_tokens, config, recipe)?;
    let mut matrices = planned_encoder_matrices(checkpoint, config, options.quantize)?;
    let folders = recipe.projections.iter().map(|(folder, _)| folder.clone());
    matrices.extend(folders.zip(projections.device_bytes.iter().copied()));
    let cache_bytes = config.scratch_bytes(tokens);
    let attention_width = config.attention_spec(0, tokens).qkv_width();
    let widths = 8 * config.hidden_size + 2 * config.intermediate_size + 2 * attention_width;
    let largest_matrix_bytes = matrices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let positions_bytes = config.max_tokens() as u64 * config.hidden_size as u64 * 4;
    Ok(LoadNeed {
        context_tokens: tokens,
        weight_bytes: planned_encoder_bytes(checkpoint, config, options.quantize)? + projections.device_bytes.iter().sum::<u64>(),
        cache_bytes,
        scratch_bytes: 4 * tokens as u64 * widths as u64,
        staging_bytes: 2 * largest_matrix_bytes,
        largest_buffer_bytes: largest_matrix_bytes.max(cache_bytes / 2).max(positions_bytes),
        download_bytes: checkpoint.total_bytes() + projections.stored_bytes,
        matrices,
    })
}

fn decoder_need(checkpoint: &Checkpoint, config: &DecoderConfig, options: &LoadOptions) -> Result<LoadNeed> {
    let context_tokens = context_tokens(options.context_tokens, config.max_position_embeddings)?;
    let weight_bytes = planned_bytes(checkpoint, config, options.quantize)?;
    let matrices = planned_matrices(checkpoint, config, options.quantize)?;
    let kv_width = (config.kv_heads * config.head_dim) as u64;
    let cache_rows = config.layers.iter().map(|layer| layer.cache_rows(context_tokens, options.prefill_chunk_tokens));
    let layer_cache_bytes = cache_rows.max().unwrap_or(0) as u64 * kv_width * 4;
    let cache_bytes = config.cache_bytes(context_tokens, options.prefill_chunk_tokens);
    let chunk_tokens = options.prefill_chunk_tokens.min(context_tokens) as u64;
    let widths = 2 * config.hidden_size + 2 * config.heads * config.head_dim + 2 * config.intermediate_size;
    // Logits of a prompt, of greedy tokens and of drawn ones, and what a GPU knows of each token for the draw.
    let vocabulary = 3 + 2;
    let scratch_bytes = 4 * (chunk_tokens * (widths as u64 + 2 * kv_width) + vocabulary * config.vocab_size as u64);
    let largest_matrix_bytes = matrices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    Ok(LoadNeed {
        context_tokens,
        weight_bytes,
        cache_bytes,
        scratch_bytes,
        staging_bytes: 2 * largest_matrix_bytes,
        largest_buffer_bytes: largest_matrix_bytes.max(layer_cache_bytes),
        download_bytes: checkpoint.total_bytes(),
        matrices,
    })
}
