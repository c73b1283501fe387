//! Whether a model writes text or reads it.

use eyas_core::Result;
use eyas_model::EncoderConfig;
use eyas_weights::ModelFiles;
use serde::Serialize;

use crate::{json_file::read_json, model_bundle::CONFIG};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// It writes text: [`crate::Engine`].
    Decoder,
    /// It embeds and classifies texts: [`crate::EncoderEngine`].
    Encoder,
}

impl ModelKind {
    /// Reads it from `config.json`; a GGUF file is a decoder's. What is neither, or has no such file, counts as a decoder, whose load refuses it.
    pub async fn of(files: &ModelFiles) -> Result<Self> {
        match files {
            ModelFiles::Folder(folder) => {
                let config = read_json(folder.as_ref(), CONFIG).await?;
                Ok(if config.is_some_and(|config| EncoderConfig::describes(&config)) { Self::Encoder } else { Self::Decoder })
            }
            ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => Ok(Self::Decoder),
        }
    }
}
