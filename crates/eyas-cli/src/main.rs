//! The native shell: the very same engine from the command line, so that anyone can compare it with a reference.
//!
//! ```text
//! eyas-cli generate --model MODEL --prompt "Once upon a time" --max-tokens 64
//! eyas-cli inspect MODEL
//! ```
//!
//! What it does not do: download models, or anything that the engine in a browser could not do as well. Standard output carries the
//! result and nothing else; with `--json` that is one JSON object, also where it is `{"error": {"code", "message"}}`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panicking

mod arguments;
mod bench;
mod calibrate;
mod cloud_model;
mod deferral;
mod embed;
mod eval;
mod failure;
mod generate;
mod http_network;
mod input_file;
mod inspect;
mod load;
mod logits;
mod pack;
mod render;
mod risk_table;
mod routing_cost;
mod routing_report;
mod sampling;
mod signing_key;
mod system_clock;
mod tokenize;

use std::process::ExitCode;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(failure) => return failure.print(),
    };
    let common = &arguments.common;
    let result = pollster::block_on(async {
        match &arguments.command {
            Command::Generate(command) => generate::run(common, command).await,
            Command::Tokenize(command) => tokenize::run(common, command).await,
            Command::Render(command) => render::run(common, command).await,
            Command::Logits(command) => logits::run(common, command).await,
            Command::Embed(command) => embed::run(common, command).await,
            Command::Classify(command) => embed::run_classify(common, command).await,
            Command::Inspect(command) => inspect::run(common, command).await,
            Command::Bench(command) => bench::run(common, command).await,
            Command::Pack(command) => pack::run(common, command).await,
            Command::Key(command) => signing_key::run(common, command),
            Command::Eval(command) => eval::run(common, command).await,
            Command::Calibrate(command) => calibrate::run(common, command),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::Failure::new(error, common.json).print(),
    }
}
