//! From a model's files to its tensors, where what a tensor means may depend on the configuration.

use eyas_core::{Error, Result};
use eyas_model::Fp8Config;
use eyas_weights::{Checkpoint, ModelFiles, SourceKind};

use crate::{json_file::require_json, model_bundle::CONFIG};

/// Reads the tensor headers of a model, and the scales of its 8-bit floats where its `config.json` declares them. Fails as
/// [`Checkpoint::open`] does, and with `unsupported-model` where there are 8-bit floats that nothing declares.
pub async fn open_checkpoint(files: &ModelFiles) -> Result<Checkpoint> {
    let mut checkpoint = Checkpoint::open(files).await?;
    let undeclared =
        checkpoint.tensors().iter().find(|tensor| tensor.kind == SourceKind::F8E4M3).map(|tensor| tensor.name.clone());
    if let (Some(name), ModelFiles::Folder(folder)) = (undeclared, files) {
        let config = require_json(folder.as_ref(), CONFIG).await?;
        let Some(fp8) = Fp8Config::from_hf(&config)? else {
            return Err(Error::unsupported(format!(
                "the tensor {name:?} is in 8-bit floats, but config.json has no quantization_config that says how they are scaled; use the \
                 unquantised weights"
            )));
        };
        checkpoint.scale_8_bit_floats(fp8.block).await?;
    }
    Ok(checkpoint)
}
