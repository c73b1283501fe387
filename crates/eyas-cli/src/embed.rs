//! `embed` and `classify`: texts to vectors, texts to labels.

use std::{
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use clap::Args;
use eyas_core::{CancelToken, Error, Progress, Result};
use eyas_engine::EncoderEngine;
use serde_json::json;

use crate::{
    arguments::Common,
    load::{open_device, open_files},
};

/// The model and the texts of `embed` and of `classify`.
#[derive(Debug, Args)]
struct TextInput {
    /// A folder with an encoder
    #[arg(long)]
    model: PathBuf,
    /// A text; may be given several times. Absent: every line of standard input is one
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
}

/// The flags of `embed`.
#[derive(Debug, Args)]
pub struct EmbedCommand {
    #[command(flatten)]
    input: TextInput,
    /// The name of the model's prompt that stands before every text; absent, its default
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
}

/// The flags of `classify`.
#[derive(Debug, Args)]
pub struct ClassifyCommand {
    #[command(flatten)]
    input: TextInput,
    /// The second text of a pair, one for each --text: a passage to a question, a hypothesis to a premise
    #[arg(long, value_name = "TEXT", requires = "text")]
    pair: Vec<String>,
}

/// Runs `embed`: a line of numbers for each text, a unit vector.
pub async fn run(common: &Common, command: &EmbedCommand) -> Result<()> {
    let texts = texts(&command.input)?;
    let engine = load(common, &command.input.model).await?;
    let mut embeddings = Vec::with_capacity(texts.len());
    for text in &texts {
        embeddings.push(engine.embed_prompted(text, command.prompt.as_deref()).await?);
    }
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
pub async fn run_classify(common: &Common, command: &ClassifyCommand) -> Result<()> {
    let texts = texts(&command.input)?;
    if !command.pair.is_empty() && command.pair.len() != texts.len() {
        let (pairs, texts) = (command.pair.len(), texts.len());
        return Err(Error::bad_input(format!("expected a --pair for each of {texts} --text, found {pairs}")));
    }
    let engine = load(common, &command.input.model).await?;
    let mut all = Vec::with_capacity(texts.len());
    for (number, text) in texts.iter().enumerate() {
        all.push(match command.pair.get(number) {
            None => engine.classify(text).await?,
            Some(second) => engine.classify_pair(text, second).await?,
        });
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

fn texts(input: &TextInput) -> Result<Vec<String>> {
    if !input.text.is_empty() {
        return Ok(input.text.clone());
    }
    let mut lines = String::new();
    stdin()
        .read_to_string(&mut lines)
        .map_err(|error| Error::bad_input(format!("standard input: expected UTF-8 text: {error}")))?;
    Ok(lines.lines().map(str::to_owned).collect())
}

/// Loads the encoder at `path` as the common options say.
async fn load(common: &Common, path: &Path) -> Result<EncoderEngine> {
    let files = open_files(path).await?;
    let device = open_device(common.device).await?;
    let silent = |_: Progress| {};
    Box::pin(EncoderEngine::load(files, device, common.load_options(), &silent, &CancelToken::new())).await
}
