//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind as ClapKind};
use eyas_core::{Error, LoadOptions, Quantize};

use crate::{
    bench::BenchCommand,
    calibrate::CalibrateCommand,
    embed::{ClassifyCommand, EmbedCommand},
    eval::EvalCommand,
    failure::Failure,
    generate::GenerateCommand,
    inspect::InspectCommand,
    logits::LogitsCommand,
    pack::PackCommand,
    render::RenderCommand,
    signing_key::KeyCommand,
    tokenize::TokenizeCommand,
};

/// Runs small language models: the engine of the browser, natively.
#[derive(Debug, Parser)]
#[command(name = "eyas-cli", version)]
pub struct Arguments {
    /// What every command understands.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON object
    #[arg(long, global = true)]
    pub json: bool,
    /// Where to compute; absent: the GPU where there is a real one, the CPU otherwise
    #[arg(long, global = true, value_enum)]
    pub device: Option<Device>,
    /// What becomes of matrix weights while they are loaded
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub quantize: QuantizeTo,
    /// Tokens that prompt and answer may take together; absent: the model's maximum, at most 4096
    #[arg(long, global = true, value_name = "N")]
    pub context_tokens: Option<usize>,
    /// Prompt tokens that are computed in one step
    #[arg(long, global = true, value_name = "N", default_value_t = 128)]
    pub prefill_chunk_tokens: usize,
}

impl Common {
    /// How a model is to be loaded.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            quantize: self.quantize.into(),
            context_tokens: self.context_tokens,
            prefill_chunk_tokens: self.prefill_chunk_tokens,
            ..LoadOptions::default()
        }
    }
}

/// A device to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The CPU
    Cpu,
    /// The GPU, through wgpu
    Gpu,
}

/// What becomes of matrix weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuantizeTo {
    /// Small models stay as they are, large ones are quantised
    Auto,
    /// Every matrix stays as it is stored
    None,
    /// 8-bit blocks
    Q8,
    /// 4-bit blocks
    Q4,
}

impl From<QuantizeTo> for Quantize {
    fn from(to: QuantizeTo) -> Self {
        match to {
            QuantizeTo::Auto => Self::Auto,
            QuantizeTo::None => Self::None,
            QuantizeTo::Q8 => Self::Q8,
            QuantizeTo::Q4 => Self::Q4,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a text or answer a conversation
    Generate(Box<GenerateCommand>),
    /// Turn standard input into token ids, or back
    Tokenize(TokenizeCommand),
    /// Print what the model's chat template makes of a conversation
    Render(RenderCommand),
    /// Write the logits at every position of a sequence of tokens
    Logits(LogitsCommand),
    /// Turn texts into unit vectors, by an encoder
    Embed(EmbedCommand),
    /// Turn texts into labels, by an encoder with a classification head
    Classify(ClassifyCommand),
    /// Show what a model's files hold, and what of it is refused
    Inspect(InspectCommand),
    /// Measure prefill and decode
    Bench(BenchCommand),
    /// Write a model's manifest: its files with their hashes, what it needs, and what it answers
    Pack(PackCommand),
    /// Make a key to sign manifests with
    Key(KeyCommand),
    /// Run a task file through the model and log what routing can be judged by
    Eval(EvalCommand),
    /// Make a threshold for escalation from such a log, and a report
    Calibrate(CalibrateCommand),
}

impl Arguments {
    /// Reads the command line; prints help and ends the process where that was asked for.
    pub fn read() -> Result<Self, Failure> {
        Self::try_parse().map_err(|error| {
            if matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) {
                error.exit();
            }
            let json = std::env::args().any(|argument| argument == "--json");
            let message = error.to_string();
            Failure::new(Error::bad_input(message.trim_start_matches("error: ").trim_end()), json)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_behind_the_command() {
        for line in ["eyas-cli --json --quantize q4 inspect m", "eyas-cli inspect m --json --quantize q4"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert!(arguments.common.json && arguments.common.quantize == QuantizeTo::Q4);
        }
    }
}
