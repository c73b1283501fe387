//! `embed` and `classify`: texts to vectors, texts to labels.

use std::{
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use clap::Args;
use eyas_core::{CancelToken, Error, LoadOptions, Progress, Result};
use eyas_engine::EncoderEngine;
use serde_json::json;

use crate::{
    arguments::Common,
    load::{open_device, open_files},
};

/// The flags of `embed` and of `classify`.
#[derive(Debug, Args)]
pub struct EmbedCommand {
    /// A folder with an encoder
    #[arg(long)]
    model: PathBuf,
    /// A text; may be given several times. Absent: every line of standard input is one
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
}

/// Runs `embed`: a line of numbers for each text, a unit vector.
pub async fn run(common: &Common, command: &EmbedCommand) -> Result<()> {
    let texts = texts(command)?;
    let engine = load(common, &command.model).await?;
    let embeddings = engine.embed_all(&texts).await?;
    if common.json {
        println!("{}", json!({ "model": engine.info(), "embeddings": embeddings }));
        return Ok(());
    }
    for (number, embedding) in embeddings.iter().enumerate() {
        if embedding.truncated_tokens > 0 {
            eprintln!("text {}: {} tokens at its end did not fit", number + 1, embedding.truncated_tokens);
        }
        println!("{}", embedding.vector.iter().map(f32::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// Runs `classify`: a line for each text, its labels with their scores, the best first.
pub async fn run_classify(common: &Common, command: &EmbedCommand) -> Result<()> {
    let texts = texts(command)?;
    let engine = load(common, &command.model).await?;
    let mut all = Vec::with_capacity(texts.len());
    for text in &texts {
        all.push(engine.classify(text).await?);
    }
    if common.json {
        println!("{}", json!({ "model": engine.info(), "scores": all }));
        return Ok(());
    }
    for scores in all {
        println!("{}", scores.iter().map(|score| format!("{} {:.4}", score.label, score.score)).collect::<Vec<_>>().join("  "));
    }
    Ok(())
}

fn texts(command: &EmbedCommand) -> Result<Vec<String>> {
    if !command.text.is_empty() {
        return Ok(command.text.clone());
    }
    let mut input = String::new();
    stdin()
        .read_to_string(&mut input)
        .map_err(|error| Error::bad_input(format!("standard input: expected UTF-8 text: {error}")))?;
    Ok(input.lines().map(str::to_owned).collect())
}

/// Loads the encoder at `path` as the common options say.
async fn load(common: &Common, path: &Path) -> Result<EncoderEngine> {
    let files = open_files(path).await?;
    let device = open_device(common.device).await?;
    let options = LoadOptions {
        quantize: common.quantize.into(),
        context_tokens: common.context_tokens,
        prefill_chunk_tokens: common.prefill_chunk_tokens,
    };
    let silent = |_: Progress| {};
    EncoderEngine::load(files, device, options, &silent, &CancelToken::new()).await
}
