//! How an answer is sampled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Options of a generation. The sampler applies them in this order: logit bias, repetition penalty, presence and
/// frequency penalties, (greedy ends here) temperature, top-k, top-p, min-p, draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GenerateOptions {
    /// Tokens to generate at most; absent: until the context is full.
    pub max_tokens: Option<usize>,
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose probabilities sum to at least this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Divide (positive) or multiply (negative) the logits of tokens seen in prompt or answer; 1 is off (CTRL, arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// Subtracted once from the logit of each token of the answer so far; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted for each occurrence of a token in the answer so far; 0 is off.
    pub frequency_penalty: f32,
    /// Added to the logits of tokens by id.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Seed of the draw; absent: a fresh one, which the result reports.
    pub seed: Option<u64>,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Report the log-probability of every token of the answer.
    pub logprobs: bool,
    /// With `logprobs`: report that many most probable alternatives of each token, at most 20.
    pub top_logprobs: usize,
    /// Tokens that are guessed at most from repetitions in prompt and answer, and computed in one step with the next token; at most 15, and 0 is
    /// off. The answer is the same with and without. On a GPU at most 7, and for greedy answers without penalties, biases and log-probabilities only; none
    /// where its driver computes several tokens otherwise than one.
    pub prompt_lookup_tokens: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: None,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: None,
            stop: Vec::new(),
            logprobs: false,
            top_logprobs: 0,
            prompt_lookup_tokens: 7,
        }
    }
}

impl GenerateOptions {
    /// Fails with `bad-input`, naming the option, its range and what was found.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, value: f32, low: f32, high: f32| {
            if value.is_finite() && (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(Error::bad_input(format!("{name} must be between {low} and {high}, found {value}")))
            }
        };
        range("temperature", self.temperature, 0.0, 100.0)?;
        range("topP", self.top_p, 0.0, 1.0)?;
        range("minP", self.min_p, 0.0, 1.0)?;
        range("repetitionPenalty", self.repetition_penalty, 0.01, 100.0)?;
        range("presencePenalty", self.presence_penalty, -100.0, 100.0)?;
        range("frequencyPenalty", self.frequency_penalty, -100.0, 100.0)?;
        for (id, bias) in &self.logit_bias {
            if bias.is_nan() {
                return Err(Error::bad_input(format!("logitBias of token {id} must be a number, found NaN")));
            }
        }
        if self.max_tokens == Some(0) {
            return Err(Error::bad_input("maxTokens must be at least 1, found 0"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::bad_input("stop must not contain an empty string"));
        }
        if self.top_logprobs > 20 {
            return Err(Error::bad_input(format!("topLogprobs must be at most 20, found {}", self.top_logprobs)));
        }
        if self.prompt_lookup_tokens > 15 {
            return Err(Error::bad_input(format!("promptLookupTokens must be at most 15, found {}", self.prompt_lookup_tokens)));
        }
        if self.top_logprobs > 0 && !self.logprobs {
            return Err(Error::bad_input("topLogprobs needs logprobs: true"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_greedy() {
        let options = GenerateOptions::default();
        assert!(options.validate().is_ok());
        assert!(options.temperature == 0.0);
    }

    #[test]
    fn each_bad_value_names_its_option() {
        let cases = [
            (GenerateOptions { temperature: f32::NAN, ..Default::default() }, "temperature"),
            (GenerateOptions { top_p: 1.5, ..Default::default() }, "topP"),
            (GenerateOptions { min_p: -0.1, ..Default::default() }, "minP"),
            (GenerateOptions { max_tokens: Some(0), ..Default::default() }, "maxTokens"),
            (GenerateOptions { stop: vec![String::new()], ..Default::default() }, "stop"),
            (GenerateOptions { top_logprobs: 3, ..Default::default() }, "topLogprobs"),
            (GenerateOptions { prompt_lookup_tokens: 16, ..Default::default() }, "promptLookupTokens"),
        ];
        for (options, name) in cases {
            let error = options.validate().unwrap_err();
            assert_eq!(error.code(), "bad-input");
            assert!(error.detail().contains(name), "{error}");
        }
    }
}
