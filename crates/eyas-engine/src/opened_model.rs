//! A model's files, and what was read of them to know what they are.

use eyas_core::Result;
use eyas_model::EncoderConfig;
use eyas_weights::{Checkpoint, ModelFiles};

use crate::{
    ModelKind,
    checkpoint_open::open_checkpoint,
    json_file::{read_json, require_json},
    model_bundle::CONFIG,
    model_text::metadata,
};

/// A model's files, with the tensor headers where these had to be read to know what the model is for: those of a GGUF file, whose metadata says it.
pub struct OpenedModel {
    pub(crate) files: ModelFiles,
    checkpoint: Option<Checkpoint>,
}

impl From<ModelFiles> for OpenedModel {
    fn from(files: ModelFiles) -> Self {
        Self { files, checkpoint: None }
    }
}

impl OpenedModel {
    /// Reads what a model is for: in `config.json`, or in a GGUF file's metadata. What is neither decoder nor encoder counts as a decoder, whose load
    /// refuses it; fails where a GGUF file's header can't be read.
    pub async fn open(files: ModelFiles) -> Result<(Self, ModelKind)> {
        let (is_encoder, checkpoint) = match &files {
            ModelFiles::Folder(folder) => {
                let config = read_json(folder.as_ref(), CONFIG).await?;
                (config.is_some_and(|config| EncoderConfig::describes(&config)), None)
            }
            ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => {
                let checkpoint = open_checkpoint(&files).await?;
                (EncoderConfig::describes_gguf(metadata(&checkpoint)?), Some(checkpoint))
            }
        };
        let kind = if is_encoder { ModelKind::Encoder } else { ModelKind::Decoder };
        Ok((Self { files, checkpoint }, kind))
    }

    /// The tensor headers.
    pub(crate) async fn checkpoint(&mut self) -> Result<Checkpoint> {
        match self.checkpoint.take() {
            Some(checkpoint) => Ok(checkpoint),
            None => open_checkpoint(&self.files).await,
        }
    }
}

/// The configuration of an encoder whose headers are read: `config.json`, or the metadata of a GGUF file. Fails with `unsupported-model` where the model
/// is none.
pub async fn open_encoder_config(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<EncoderConfig> {
    match files {
        ModelFiles::Folder(folder) => EncoderConfig::from_hf(&require_json(folder.as_ref(), CONFIG).await?),
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => EncoderConfig::from_gguf(checkpoint),
    }
}

impl ModelKind {
    /// What a model is for; see [`OpenedModel::open`].
    pub async fn of(files: &ModelFiles) -> Result<Self> {
        Ok(OpenedModel::open(files.clone()).await?.1)
    }

    /// The same where the headers are read.
    pub async fn of_opened(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<Self> {
        match checkpoint.gguf() {
            None => Self::of(files).await,
            Some(metadata) if EncoderConfig::describes_gguf(metadata) => Ok(Self::Encoder),
            Some(_) => Ok(Self::Decoder),
        }
    }
}
