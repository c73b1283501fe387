//! What a load would take, by the headers of its files alone.

use eyas_core::{DeviceKind, LoadOptions, Result};
use eyas_kernels::MatrixSpec;
use eyas_model::{
    DecoderConfig, DenseConfig, EncoderConfig, GpuNeed, decoder_gpu_need, encoder_gpu_need, planned_bytes, planned_encoder_bytes,
    planned_encoder_matrices, planned_matrices,
};
use eyas_weights::{Checkpoint, ModelFiles};
use serde::Serialize;

use crate::{
    ModelKind, checkpoint_open::open_checkpoint, embedding_recipe::EmbeddingRecipe, encoder_engine::max_tokens,
    engine::context_tokens, model_bundle::open_config, opened_model::open_encoder_config,
};

/// What a load would take. Weights and caches are exact; staging is an upper bound, and so is scratch on a CPU.
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
    /// Bytes of intermediate results. On a GPU they are never given back, and with them come tables and what its buffers are larger than the tensors in them.
    pub scratch_bytes: u64,
    /// Bytes that a load holds besides what it has finished.
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

/// Projections behind the pooling.
#[derive(Default)]
struct Projections {
    /// Each with its matrix on the device.
    matrices: Vec<(DenseConfig, MatrixSpec)>,
    /// Bytes of all in their files.
    stored_bytes: u64,
}

/// What a load holds of a matrix at most, beside what it has sent: a piece as it is stored, as floats, and as it is packed. A matrix of less is held twice.
const PIECES_BYTES: u64 = 8 << 20;

/// Bytes of a matrix that are read back at a time while a GPU is tried.
const READ_BYTES: u64 = 1 << 20;

/// See [`PIECES_BYTES`].
fn staging_bytes(largest_matrix_bytes: u64) -> u64 {
    (2 * largest_matrix_bytes).min(PIECES_BYTES)
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
                    let matrix = dense.planned_matrix(tensors).map_err(|error| error.context(path))?;
                    projections.matrices.push((dense.clone(), matrix));
                    projections.stored_bytes += own_file.as_ref().map_or(0, Checkpoint::total_bytes);
                }
                Config::Encoder(Box::new(config), recipe, projections)
            }
            ModelKind::Decoder => Config::Decoder(Box::new(open_config(files, &checkpoint).await?)),
        };
        Ok(Self { checkpoint, config })
    }

    /// What a load with `options` would take on a device of that kind.
    pub fn need(&self, options: &LoadOptions, device: DeviceKind) -> Result<LoadNeed> {
        options.validate()?;
        let (checkpoint, quantize) = (&self.checkpoint, options.quantize);
        let (mut need, on_gpu) = match &self.config {
            Config::Decoder(config) => {
                let need = decoder_need(checkpoint, config, options)?;
                let tokens = (need.context_tokens, options.prefill_chunk_tokens);
                let on_gpu = (device == DeviceKind::Gpu).then(|| decoder_gpu_need(checkpoint, config, quantize, tokens));
                (need, on_gpu.transpose()?)
            }
            Config::Encoder(config, recipe, projections) => {
                let need = encoder_need(checkpoint, config, (recipe, projections), options)?;
                let (tokens, matrices) = (need.context_tokens, &projections.matrices);
                let on_gpu =
                    (device == DeviceKind::Gpu).then(|| encoder_gpu_need(checkpoint, config, quantize, tokens, matrices));
                (need, on_gpu.transpose()?)
            }
        };
        if let Some(GpuNeed { buffer_bytes, read_bytes }) = on_gpu {
            let largest_matrix_bytes = need.matrices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
            need.scratch_bytes = buffer_bytes.saturating_sub(need.weight_bytes + need.cache_bytes);
            need.staging_bytes += read_bytes + 2 * largest_matrix_bytes.min(READ_BYTES);
        }
        Ok(need)
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
    matrices.extend(folders.zip(projections.matrices.iter().map(|(_, matrix)| matrix.bytes())));
    let cache_bytes = config.scratch_bytes(tokens);
    let attention_width = config.attention_spec(0, tokens).qkv_width();
    let widths = 8 * config.hidden_size + 2 * config.intermediate_size + 2 * attention_width;
    let largest_matrix_bytes = matrices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let positions_bytes = config.max_tokens() as u64 * config.hidden_size as u64 * 4;
    Ok(LoadNeed {
        context_tokens: tokens,
        weight_bytes: planned_encoder_bytes(checkpoint, config, options.quantize)?
            + projections.matrices.iter().map(|(_, matrix)| matrix.bytes()).sum::<u64>(),
        cache_bytes,
        scratch_bytes: 4 * tokens as u64 * widths as u64,
        staging_bytes: staging_bytes(largest_matrix_bytes),
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
        staging_bytes: staging_bytes(largest_matrix_bytes),
        largest_buffer_bytes: largest_matrix_bytes.max(layer_cache_bytes),
        download_bytes: checkpoint.total_bytes(),
        matrices,
    })
}
