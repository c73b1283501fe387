//! `logits`: the logits at every position of a sequence of tokens.

use std::path::PathBuf;

use clap::Args;
use eyas_core::{Error, Result};
use serde_json::json;

use crate::{arguments::Common, load::load, tokenize::parse_ids};

/// The flags of `logits`.
#[derive(Debug, Args)]
pub struct LogitsCommand {
    /// A folder with a model, or a .gguf file
    #[arg(long)]
    model: PathBuf,
    /// Token ids, separated by commas
    #[arg(long, value_name = "IDS")]
    ids: String,
    /// The file to write: float32, little endian, one row of vocabulary size per position
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs `logits`.
pub async fn run(common: &Common, command: &LogitsCommand) -> Result<()> {
    let ids = parse_ids(&command.ids)?;
    let engine = load(common, &command.model).await?;
    let logits = engine.logits(&ids).await?;
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    std::fs::write(&command.out, &bytes)
        .map_err(|error| Error::bad_input(format!("{} can't be written: {error}", command.out.display())))?;
    let vocab_size = engine.config().vocab_size;
    if common.json {
        let out = command.out.display().to_string();
        println!("{}", json!({ "positions": ids.len(), "vocabSize": vocab_size, "bytes": bytes.len(), "out": out }));
    } else {
        println!("{} × {vocab_size} float32 in {}", ids.len(), command.out.display());
    }
    Ok(())
}
