//! Flags that say how an answer is sampled.

use clap::Args;
use eyas_core::GenerateOptions;

/// How an answer is sampled. Without flags it is greedy.
#[derive(Debug, Args)]
pub struct Sampling {
    /// Tokens to generate at most; absent: until the context is full
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Keep the K most probable tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Keep the smallest set of tokens whose probabilities sum to P
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Keep tokens at least P times as probable as the most probable one
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Divide the logits of tokens seen before; 1 is off
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Subtract from the logit of each token of the answer
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Subtract from the logit of a token for each time it came
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Add to the logit of a token; may be given several times
    #[arg(long, value_name = "ID=X", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// Seed of the draw
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// A string that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Report the log-probability of every token (with --json)
    #[arg(long)]
    logprobs: bool,
    /// Report that many alternatives of every token (with --json)
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_logprobs: usize,
    /// Guess at most N tokens from repetitions in prompt and answer, for the same answer in less time; 0 is off
    #[arg(long, value_name = "N", default_value_t = 7)]
    prompt_lookup_tokens: usize,
}

impl Sampling {
    /// The engine's options.
    pub fn options(&self) -> GenerateOptions {
        GenerateOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logit_bias: self.logit_bias.iter().copied().collect(),
            seed: self.seed,
            stop: self.stop.clone(),
            logprobs: self.logprobs || self.top_logprobs > 0,
            top_logprobs: self.top_logprobs,
            prompt_lookup_tokens: self.prompt_lookup_tokens,
        }
    }
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let parsed = text.split_once('=').and_then(|(id, bias)| Some((id.trim().parse().ok()?, bias.trim().parse().ok()?)));
    parsed.ok_or_else(|| format!("expected ID=X such as 42=-1.5, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::bias;

    #[test]
    fn a_bias_is_an_id_and_a_number() {
        assert_eq!(bias("42=-1.5").unwrap(), (42, -1.5));
        assert!(bias("7=-inf").unwrap().1 == f32::NEG_INFINITY);
        assert!(bias("x=1").is_err() && bias("3").is_err());
    }
}
