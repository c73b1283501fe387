//! What a load is doing, in bytes.

use std::cell::Cell;

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

/// Leaves out reports that no one could see: every report crosses from a worker to its page, and a load of hundreds of tensors makes
/// thousands of them.
#[derive(Debug, Default)]
pub struct ProgressPace {
    last: Cell<Option<(LoadPhase, f64)>>,
}

impl ProgressPace {
    /// Milliseconds between two reports of one phase.
    const INTERVAL_MS: f64 = 33.0;

    /// Whether a report is to be made now: the first and the last of a phase are, and of the others one every 33 ms.
    pub fn lets(&self, progress: &Progress, now_ms: f64) -> bool {
        let is_last = progress.loaded_bytes == progress.total_bytes;
        let is_due = self.last.get().is_none_or(|(phase, at)| phase != progress.phase || now_ms - at >= Self::INTERVAL_MS);
        if is_last || is_due {
            self.last.set(Some((progress.phase, now_ms)));
        }
        is_last || is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_last_and_one_in_33_ms_are_let_through() {
        let pace = ProgressPace::default();
        let lets = |phase, loaded_bytes, now_ms| {
            pace.lets(&Progress { phase, loaded_bytes, total_bytes: 100, detail: String::new() }, now_ms)
        };
        let weights = LoadPhase::Weights;
        assert!(lets(LoadPhase::Inspect, 0, 0.0) && lets(weights, 0, 1.0) && !lets(weights, 1, 33.0) && lets(weights, 2, 34.0));
        assert!(!lets(weights, 99, 35.0) && lets(weights, 100, 36.0) && lets(LoadPhase::WarmUp, 100, 36.0));
    }
}
