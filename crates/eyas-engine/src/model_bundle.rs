//! Everything that a model's files say besides the weights.

use std::rc::Rc;

use eyas_core::Result;
use eyas_model::{DecoderConfig, Fp8Config, token_ids};
use eyas_text::Tokenizer;
use eyas_weights::{Checkpoint, ModelFiles, RangeReader};

use crate::{
    ChatPrompt,
    json_file::{read_json, require_json},
    model_text::{metadata, open_text},
};

pub(crate) const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// A model's name, tokenizer, chat template and end tokens.
pub(crate) struct ModelBundle {
    pub(crate) name: String,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<ChatPrompt>,
    pub(crate) end_ids: Vec<u32>, // ascending
}

impl ModelBundle {
    /// Reads them, and the decoder's configuration.
    pub(crate) async fn open(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<(Self, DecoderConfig)> {
        let config = open_config(files, checkpoint).await?;
        let (tokenizer, template) = open_text(files, checkpoint).await?;
        let mut end_ids = config.eos_token_ids.clone();
        end_ids.extend(tokenizer.eos_token().map(|(id, _)| id));
        if let ModelFiles::Folder(folder) = files
            && let Some(generation) = read_json(folder.as_ref(), GENERATION_CONFIG).await?
        {
            end_ids.extend(token_ids(&generation["eos_token_id"]));
        }
        end_ids.sort_unstable();
        end_ids.dedup();
        Ok((Self { name: name(files, checkpoint)?, tokenizer, template, end_ids }, config))
    }
}

/// The decoder's configuration of a model whose headers are read: `config.json`, or the metadata of a GGUF file.
pub async fn open_config(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<DecoderConfig> {
    match files {
        ModelFiles::Folder(folder) => {
            let mut config = require_json(folder.as_ref(), CONFIG).await?;
            if Fp8Config::from_hf(&config)?.is_some()
                && let Some(config) = config.as_object_mut()
            {
                // What it declares was taken into account when the tensors' headers were read; the decoder is the same without.
                config.remove("quantization_config");
            }
            DecoderConfig::from_hf(&config)
        }
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => DecoderConfig::from_gguf(metadata(checkpoint)?),
    }
}

/// The model's name: of a GGUF file what it calls itself or the file's name, of a folder its label without the path before it.
pub(crate) fn name(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<String> {
    Ok(match files {
        ModelFiles::Folder(folder) => short(folder.label()).to_owned(),
        ModelFiles::Gguf(reader) => gguf_name(checkpoint, Some(reader))?,
        ModelFiles::GgufParts(parts) => gguf_name(checkpoint, parts.first())?,
    })
}

fn gguf_name(checkpoint: &Checkpoint, file: Option<&Rc<dyn RangeReader>>) -> Result<String> {
    Ok(match metadata(checkpoint)?.get_str("general.name")? {
        Some(name) if !name.trim().is_empty() => name.to_owned(),
        _ => file.map(|file| file.name().trim_end_matches(".gguf").to_owned()).unwrap_or_default(),
    })
}

/// The last part of a path or URL; a name like `org/model` stays whole.
fn short(label: &str) -> &str {
    let label = label.trim_end_matches('/');
    let is_place = label.contains("://") || label.starts_with(['/', '.', '~']);
    if is_place { label.rsplit('/').find(|part| !part.is_empty() && *part != ".").unwrap_or(label) } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_out_the_place() {
        assert_eq!(short("/models/smol/"), "smol");
        assert_eq!(short("https://host/org/smol"), "smol");
        assert_eq!(short("org/smol"), "org/smol");
    }
}
