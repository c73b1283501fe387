//! What a load is doing, in bytes.

use serde::{Deserialize, Serialize};

/// The phase of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadPhase {
    /// The WebAssembly module is fetched and the device is made.
    Start,
    /// Configuration, tokenizer and tensor headers are read.
    Inspect,
    /// Weights are read, quantised and uploaded, tensor by tensor.
    Weights,
    /// Pipelines are compiled by a first token.
    WarmUp,
    /// The model answers.
    Ready,
}

/// A progress report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done.
    pub phase: LoadPhase,
    /// Bytes of the model's files read so far.
    pub loaded_bytes: u64,
    /// Bytes of the model's files in all; 0 while unknown.
    pub total_bytes: u64,
    /// The file or tensor at hand.
    pub detail: String,
}

/// Receives progress reports.
pub trait ProgressSink {
    /// Called for every report, in order.
    fn report(&self, progress: Progress);
}

impl<F: Fn(Progress)> ProgressSink for F {
    fn report(&self, progress: Progress) {
        self(progress);
    }
}
