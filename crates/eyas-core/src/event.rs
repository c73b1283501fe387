//! What a generation produces: deltas, and a completion that says where it was computed and how.

use serde::{Deserialize, Serialize};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// An end token or a stop string came.
    Stop,
    /// `max_tokens` or the context's end was reached.
    Length,
}

/// Tokens counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, tokens whose keys and values were still cached.
    pub cached_tokens: usize,
    /// Tokens generated, the end token included.
    pub completion_tokens: usize,
    /// Tokens that were guessed from repetitions ([`crate::GenerateOptions::prompt_lookup_tokens`]).
    pub drafted_tokens: usize,
    /// Of these, tokens that came true.
    pub accepted_tokens: usize,
}

/// Times measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// From the call to the end of the prompt's computation.
    pub prefill_ms: f64,
    /// From the call to the first token.
    pub first_token_ms: f64,
    /// From the first token to the last.
    pub decode_ms: f64,
    /// Tokens a second after the first one; 0 where there was only one.
    pub tokens_per_second: f64,
}

/// The tier that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// This device.
    Local,
    /// A server that the application allowed.
    Cloud,
}

/// Where an answer was computed, and why there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The tier that answered.
    pub tier: Tier,
    /// The model's name.
    pub model: String,
    /// The device that computed.
    pub device: String,
    /// Why this tier and device.
    pub reason: String,
    /// Runs that were tried before and with this one.
    pub attempts: usize,
    /// Bytes that left the device.
    pub bytes_sent: u64,
}

/// An alternative to a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    /// The token.
    pub id: u32,
    /// Its text, with replacement characters where it is half a character.
    pub text: String,
    /// Natural logarithm of its probability under the unmodified logits.
    pub logprob: f32,
}

/// The log-probability of a generated token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Its text, with replacement characters where it is half a character.
    pub text: String,
    /// Natural logarithm of its probability under the unmodified logits.
    pub logprob: f32,
    /// The most probable alternatives, as many as were asked for.
    pub top: Vec<TopLogprob>,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The whole text.
    pub text: String,
    /// What the model thought before it answered; empty where it did not.
    pub reasoning: String,
    /// The generated tokens, the end token included.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens counted.
    pub usage: Usage,
    /// Times measured.
    pub timing: Timing,
    /// Where it was computed, and why there.
    pub provenance: Provenance,
    /// One entry a token where asked for, otherwise empty.
    pub logprobs: Vec<TokenLogprob>,
    /// The seed that was used.
    pub seed: u64,
}

/// One step of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A part of the prompt was computed.
    Prefill {
        /// Prompt tokens computed or cached so far.
        done_tokens: usize,
        /// Prompt tokens in all.
        total_tokens: usize,
    },
    /// A token was generated; `text` is empty while a character is incomplete or may belong to a stop string.
    Delta {
        /// Text of the answer that became certain.
        text: String,
        /// What the model thinks before it answers (`<think>…</think>`), as it became certain.
        reasoning: String,
        /// The token.
        token_id: u32,
    },
    /// The answer is complete.
    Done(Box<Completion>),
}
