//! `bench`: how fast a model answers here.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use eyas_core::{Error, Event, GenerateOptions, Result, Timing, format_bytes};
use eyas_engine::{Engine, Prompt, Request};
use serde_json::json;

use crate::{arguments::Common, load::load, routing_cost::routing_ms};

/// The flags of `bench`.
#[derive(Debug, Args)]
pub struct BenchCommand {
    /// A folder with a model, or a .gguf file
    #[arg(long)]
    model: PathBuf,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 128)]
    prompt_tokens: usize,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value_t = 64)]
    tokens: usize,
    /// Measured runs; one more goes before them and does not count
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
}

/// Runs `bench`: medians over the repeats, each on a fresh session.
pub async fn run(common: &Common, command: &BenchCommand) -> Result<()> {
    if command.repeats == 0 {
        return Err(Error::bad_input("repeats must be at least 1, found 0"));
    }
    let start = Instant::now();
    let engine = load(common, &command.model).await?;
    let load_ms = start.elapsed().as_secs_f64() * 1000.0;

    let (_, memory_bytes) = once(&engine, command).await?;
    let mut timings = Vec::with_capacity(command.repeats);
    for _ in 0..command.repeats {
        timings.push(once(&engine, command).await?.0);
    }
    let of = |value: fn(&Timing) -> f64| median(timings.iter().map(value).collect());
    let prefill_ms = of(|timing| timing.prefill_ms);
    let prefill_tokens_per_second = command.prompt_tokens as f64 * 1000.0 / prefill_ms.max(f64::MIN_POSITIVE);
    let first_token_ms = of(|timing| timing.first_token_ms);
    let decode_tokens_per_second = of(|timing| timing.tokens_per_second);
    let info = engine.info();
    let routing_ms = routing_ms().await?;

    if common.json {
        let report = json!({
            "model": info.model, "device": info.device, "quantize": info.quantize, "memoryBytes": memory_bytes,
            "promptTokens": command.prompt_tokens, "tokens": command.tokens, "repeats": command.repeats, "loadMs": load_ms,
            "prefillMs": prefill_ms, "prefillTokensPerSecond": prefill_tokens_per_second, "firstTokenMs": first_token_ms,
            "decodeTokensPerSecond": decode_tokens_per_second, "routingMs": routing_ms,
        });
        println!("{report}");
        return Ok(());
    }
    println!("{} on {} ({})", info.model, info.device.name, info.device.reason);
    println!("memory       {:>12}", format_bytes(memory_bytes));
    println!("load         {load_ms:>12.1} ms");
    println!(
        "prefill      {prefill_ms:>12.1} ms  {prefill_tokens_per_second:>10.1} tokens/s  ({} tokens)",
        command.prompt_tokens
    );
    println!("first token  {first_token_ms:>12.1} ms");
    println!("decode                        {decode_tokens_per_second:>10.1} tokens/s  ({} tokens)", command.tokens);
    println!("routing      {routing_ms:>12.3} ms  (deciding which tier answers, on top of 300 tokens' signals)");
    println!("medians of {} runs", command.repeats);
    Ok(())
}

/// One answer of exactly the tokens asked for (end tokens are banned): its times, and the memory while it was made.
async fn once(engine: &Engine, command: &BenchCommand) -> Result<(Timing, u64)> {
    let vocab_size = engine.config().vocab_size;
    // Any ids do: nothing computed depends on their values. A fixed stride avoids one row of the embedding in the cache.
    let ids = (0..command.prompt_tokens).map(|position| (position * 7919 % vocab_size) as u32).collect();
    // Without guesses: what is measured is a token's own cost.
    let options = GenerateOptions {
        prompt_lookup_tokens: 0,
        max_tokens: Some(command.tokens),
        logit_bias: engine.end_tokens().iter().map(|&id| (id, f32::NEG_INFINITY)).collect(),
        ..GenerateOptions::default()
    };
    let mut generation = engine.session().start(&Request::new(Prompt::Ids(ids), options))?;
    loop {
        if let Event::Done(completion) = generation.next().await? {
            return Ok((completion.timing, engine.info().memory_bytes));
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    #[allow(clippy::float_cmp)]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
