//! `render`: what the model's chat template makes of a conversation.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use clap::Args;
use eyas_core::{Error, Message, Result};
use eyas_engine::open_template;
use serde_json::{Map, Value, json};

use crate::{arguments::Common, input_file::read_json, load::open_files, system_clock::local_seconds};

/// The flags of `render`.
#[derive(Debug, Args)]
pub struct RenderCommand {
    /// A folder with a model, or a .gguf file; no weights are needed
    #[arg(long)]
    model: PathBuf,
    /// A JSON file with a list of messages
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// A JSON file with tools
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// Leave out what asks the model to answer
    #[arg(long)]
    no_generation_prompt: bool,
}

/// Runs `render`: the template's bytes and nothing more.
pub async fn run(common: &Common, command: &RenderCommand) -> Result<()> {
    let messages: Vec<Message> = read_json(&command.messages, "a list of messages with role and content")?;
    let tools: Option<Value> = command.tools.as_deref().map(|path| read_json(path, "a list of tools")).transpose()?;
    let template = open_template(&open_files(&command.model).await?)
        .await?
        .ok_or_else(|| Error::bad_input("this model has no chat template; expected one in its tokenizer_config.json"))?;
    let text = template.render(&messages, tools.as_ref(), &Map::new(), !command.no_generation_prompt, Some(local_seconds()))?;
    if common.json {
        println!("{}", json!({ "text": text }));
        return Ok(());
    }
    stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(format!("standard output can't be written: {error}")))
}
