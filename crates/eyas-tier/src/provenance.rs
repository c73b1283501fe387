//! Where an answer was computed, and why there.

use eyas_core::{FinishReason, Tier, Timing, TokenLogprob, Usage};
use serde::Serialize;

use crate::{Confidence, Reason};

/// Whether there was a threshold for this model, quantisation and task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibrated {
    /// There was one.
    Calibrated,
    /// There was none, so confidence decided nothing.
    Uncalibrated,
}

/// A part of a text that two tiers wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextPart {
    /// Who wrote it.
    pub tier: Tier,
    /// Its length in UTF-16 code units, as JavaScript counts.
    pub length: usize,
}

/// Where an answer was computed, and why there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierProvenance {
    /// The tier that answered.
    pub tier: Tier,
    /// The model's name.
    pub model: String,
    /// The device that computed, or the origin that was asked.
    pub device: String,
    /// Why the other tier did not answer.
    pub reason: Reason,
    /// The same in words.
    pub detail: String,
    /// The code of what went wrong on the device, where the cloud was asked for that.
    pub local_error: Option<&'static str>,
    /// The value of the calibrated signal, where there is one.
    pub confidence: Option<f64>,
    /// The threshold that it was compared with.
    pub threshold: Option<f64>,
    /// Whether confidence decided anything.
    pub calibration: Calibrated,
    /// What the local run told about its certainty; absent where none ran to its end.
    pub signals: Option<Confidence>,
    /// Runs in all: one for the device, and one for every request that was handed to the network.
    pub attempts: u32,
    /// Bytes of bodies that were handed to the network.
    pub bytes_sent: u64,
    /// From the request to the end.
    pub ms: f64,
    /// Options that were dropped for the cloud.
    pub downgrades: Vec<String>,
    /// Who wrote which part, where the cloud's text was appended to local text.
    pub parts: Vec<TextPart>,
    /// What the cloud's tokens cost, where prices were given.
    pub cost: Option<f64>,
    /// What the cloud would have charged for a local answer's tokens, where prices were given.
    pub saved: Option<f64>,
    /// The number of the request in the egress ledger.
    pub request: u64,
}

/// A finished answer of either tier.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierCompletion {
    /// The whole text.
    pub text: String,
    /// What the model on the device thought before it answered; empty where it did not, or the cloud answered.
    pub reasoning: String,
    /// The generated tokens; empty where the cloud answered.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens counted; what a server did not count is 0.
    pub usage: Usage,
    /// Times measured.
    pub timing: Timing,
    /// Where it was computed, and why there.
    pub provenance: TierProvenance,
    /// One entry a token where asked for, otherwise empty.
    pub logprobs: Vec<TokenLogprob>,
    /// The seed that was used; absent where a server drew its own.
    pub seed: Option<u64>,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TierEvent {
    /// A part of the prompt was computed on the device.
    Prefill {
        /// Prompt tokens computed or cached so far.
        done_tokens: usize,
        /// Prompt tokens in all.
        total_tokens: usize,
    },
    /// What the model on the device thinks before it answers.
    Reasoning {
        /// The next part of it.
        text: String,
    },
    /// Text.
    Delta {
        /// It may be empty, as a sign of life.
        text: String,
    },
    /// The local text shown so far is no part of the answer; the cloud's follows.
    Withdrawn {
        /// Why.
        reason: Reason,
        /// In words.
        detail: String,
    },
    /// The local text shown so far stays; the cloud's is appended.
    Appended {
        /// Why.
        reason: Reason,
        /// In words.
        detail: String,
    },
    /// The answer is complete.
    Done(Box<TierCompletion>),
}
