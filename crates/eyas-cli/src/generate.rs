//! `generate`: continues a text or answers a conversation.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use clap::Args;
use eyas_core::{Completion, Error, Event, Message, Result};
use eyas_engine::{Prompt, Request};
use serde_json::Value;

use crate::{arguments::Common, input_file::read_json, load::load, sampling::Sampling};

/// The flags of `generate`.
#[derive(Debug, Args)]
pub struct GenerateCommand {
    /// A folder with a model, or a .gguf file
    #[arg(long)]
    model: PathBuf,
    /// A text to continue
    #[arg(long, value_name = "TEXT", required_unless_present = "messages", conflicts_with = "messages")]
    prompt: Option<String>,
    /// A JSON file with a list of messages to answer
    #[arg(long, value_name = "FILE")]
    messages: Option<PathBuf>,
    /// A JSON file with tools for the chat template
    #[arg(long, value_name = "FILE", requires = "messages")]
    tools: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
}

/// Runs `generate`: text as it comes, or the completion as JSON.
pub async fn run(common: &Common, command: &GenerateCommand) -> Result<()> {
    let prompt = match (&command.messages, &command.prompt) {
        (Some(path), _) => Prompt::Messages(read_json::<Vec<Message>>(path, "a list of messages with role and content")?),
        (None, Some(text)) => Prompt::Text(text.clone()),
        (None, None) => return Err(Error::bad_input("expected --prompt or --messages")),
    };
    let mut request = Request::new(prompt, command.sampling.options());
    if let Some(path) = &command.tools {
        request.tools = Some(read_json::<Value>(path, "a list of tools")?);
    }
    request.options.validate()?;

    let engine = load(common, &command.model).await?;
    let mut generation = engine.session().start(&request)?;
    loop {
        match generation.next().await? {
            Event::Delta { text, reasoning, .. } if !common.json => {
                // What the model thinks is no part of its answer.
                eprint!("{reasoning}");
                print_now(&text)?;
            }
            Event::Prefill { .. } | Event::Delta { .. } => {}
            Event::Done(completion) if common.json => {
                println!("{}", serde_json::to_string(&completion).map_err(|error| Error::internal(error.to_string()))?);
                return Ok(());
            }
            Event::Done(completion) => {
                println!();
                print_statistics(&completion);
                return Ok(());
            }
        }
    }
}

fn print_now(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::internal(format!("standard output can't be written: {error}")))
}

fn print_statistics(completion: &Completion) {
    let Completion { usage, timing, provenance, .. } = completion;
    eprintln!(
        "{} on {} ({}): {} + {} tokens, first after {:.0} ms, then {:.1} tokens/s",
        provenance.model,
        provenance.device,
        provenance.reason,
        usage.prompt_tokens,
        usage.completion_tokens,
        timing.first_token_ms,
        timing.tokens_per_second
    );
}
