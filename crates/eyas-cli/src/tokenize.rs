//! `tokenize`: text to token ids and back.

use std::{
    io::{Read, Write, stdin, stdout},
    path::PathBuf,
};

use clap::Args;
use eyas_core::{Error, Result};
use eyas_engine::open_tokenizer;
use eyas_text::EncodeOptions;
use serde_json::json;

use crate::{arguments::Common, load::open_files};

/// The flags of `tokenize`.
#[derive(Debug, Args)]
pub struct TokenizeCommand {
    /// A folder with a model, or a .gguf file; no weights are needed
    #[arg(long)]
    model: PathBuf,
    /// Add the tokenizer's special tokens, and recognise them in the text
    #[arg(long)]
    special: bool,
    /// Read ids from standard input and print their text
    #[arg(long)]
    decode: bool,
}

/// Runs `tokenize`: ids on one line, separated by spaces; with `--decode` the text, and with `--special` special tokens in it.
pub async fn run(common: &Common, command: &TokenizeCommand) -> Result<()> {
    let tokenizer = open_tokenizer(&open_files(&command.model).await?).await?;
    let mut text = String::new();
    stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::bad_input(format!("standard input: expected UTF-8 text: {error}")))?;
    if command.decode {
        let text = tokenizer.decode(&parse_ids(&text)?, !command.special)?;
        if common.json {
            println!("{}", json!({ "text": text }));
            return Ok(());
        }
        return stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()));
    }
    let ids = tokenizer.encode(&text, EncodeOptions { add_special: command.special, parse_special: command.special })?;
    if common.json {
        println!("{}", json!({ "ids": ids }));
    } else {
        println!("{}", ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// Ids separated by spaces, commas or line ends.
pub fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|_| Error::bad_input(format!("expected a token id, found {part:?}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::parse_ids;

    #[test]
    fn ids_may_be_separated_by_spaces_or_commas() {
        assert_eq!(parse_ids("1,2, 3\n4 ").unwrap(), [1, 2, 3, 4]);
        assert!(parse_ids("").unwrap().is_empty());
        assert_eq!(parse_ids("1 -2").unwrap_err().code(), "bad-input");
    }
}
