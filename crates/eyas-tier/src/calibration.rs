//! Thresholds with a stated risk.
//!
//! Conformal risk control (Angelopoulos et al., arXiv 2208.02814): with the loss of example i at threshold λ being its badness `1 - quality` if
//! its signal reaches λ (it stays on the device) and 0 if not (it goes to the cloud), the loss falls as λ rises; the smallest λ for
//! which `n/(n+1) · mean loss + 1/(n+1) ≤ α` keeps the expected loss of a fresh exchangeable example at or below α.

use eyas_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Signal;

/// One example of a calibration: how certain, and how good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example {
    /// The signal, the more certain the larger.
    pub signal: f64,
    /// The quality of the local answer, from 0 to 1.
    pub quality: f64,
}

/// A threshold for one model, quantisation and task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Threshold {
    /// The fingerprint of the model's weights, as `EngineInfo` tells it.
    pub model: String,
    /// The kind in which its matrices are held, e.g. `f32` or `q8`.
    pub quantize: String,
    /// The task that the application names.
    pub task: String,
    /// Which signal is compared.
    pub signal: Signal,
    /// Answers whose signal is lower are not confident enough.
    pub threshold: f64,
    /// The stated risk: expected badness that stays on the device, per request.
    pub alpha: f64,
    /// Examples that it was made from.
    pub examples: usize,
    /// The risk where nothing is ever deferred.
    pub base_risk: f64,
    /// The part of the examples that the threshold defers.
    pub deferral_rate: f64,
}

/// What a calibration file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calibration {
    /// The thresholds, one for each model, quantisation and task.
    pub thresholds: Vec<Threshold>,
}

impl Calibration {
    /// The threshold for exactly this model, quantisation and task.
    pub fn find(&self, model: &str, quantize: &str, task: &str) -> Option<&Threshold> {
        self.thresholds.iter().find(|entry| entry.model == model && entry.quantize == quantize && entry.task == task)
    }

    /// Fails with `bad-input` where a threshold makes no sense.
    pub fn validate(&self) -> Result<()> {
        for entry in &self.thresholds {
            if !entry.threshold.is_finite() || !(0.0..=1.0).contains(&entry.alpha) {
                return Err(Error::bad_input(format!(
                    "calibration of task {:?}: threshold must be a number and alpha from 0 to 1, found {} and {}",
                    entry.task, entry.threshold, entry.alpha
                )));
            }
        }
        Ok(())
    }
}

/// What a stated risk demands of a task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Feasibility {
    /// Mean badness where nothing is deferred.
    pub base_risk: f64,
    /// No signal, however good, can keep the risk with less deferral than this (the base risk less α, where badness is at most 1).
    pub forced_deferral: f64,
    /// Examples that α needs at least: `1/(n+1) ≤ α`.
    pub examples_needed: usize,
}

impl Feasibility {
    /// Looks at the examples before a threshold is sought (arXiv 2606.29054).
    pub fn of(examples: &[Example], alpha: f64) -> Self {
        let base_risk = examples.iter().map(|example| 1.0 - example.quality).sum::<f64>() / (examples.len().max(1)) as f64;
        let needed = (1.0 / alpha.max(f64::MIN_POSITIVE)).ceil() - 1.0;
        Self { base_risk, forced_deferral: (base_risk - alpha).max(0.0), examples_needed: needed.max(1.0) as usize }
    }
}

/// The smallest threshold that keeps the risk at `alpha`, and the part of the examples that it defers. Fails with `bad-input` where the
/// examples are too few, a value is out of range, or only deferring every answer would do.
pub fn calibrate(examples: &[Example], alpha: f64) -> Result<(f64, f64)> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::bad_input(format!("alpha must lie between 0 and 1, found {alpha}")));
    }
    if let Some(bad) = examples.iter().find(|example| !example.signal.is_finite() || !(0.0..=1.0).contains(&example.quality)) {
        return Err(Error::bad_input(format!("an example must have a finite signal and a quality from 0 to 1, found {bad:?}")));
    }
    let feasibility = Feasibility::of(examples, alpha);
    let n = examples.len();
    if n < feasibility.examples_needed {
        return Err(Error::bad_input(format!(
            "alpha {alpha} can't be met with {n} examples: it takes at least {}, since a fresh one counts as wrong",
            feasibility.examples_needed
        )));
    }
    // From the most certain down: an answer may stay as long as the badness that stays with it is within the bound.
    let mut sorted = examples.to_vec();
    eyas_core::sort_by(&mut sorted, |a, b| b.signal.total_cmp(&a.signal));
    let bound = alpha * (n as f64 + 1.0) - 1.0;
    let (mut threshold, mut kept, mut badness) = (None, 0, 0.0);
    let mut start = 0;
    while start < n {
        let signal = sorted[start].signal;
        let end = start + sorted[start..].iter().take_while(|example| example.signal.total_cmp(&signal).is_eq()).count();
        badness += sorted[start..end].iter().map(|example| 1.0 - example.quality).sum::<f64>();
        if badness > bound + 1e-9 {
            break;
        }
        (threshold, kept, start) = (Some(signal), end, end);
    }
    let threshold = threshold.ok_or_else(|| {
        Error::bad_input(format!(
            "alpha {alpha} can't be met but by deferring every answer: the base risk is {:.3}, so at least {:.1}% must be deferred, and \
             this signal does not tell good answers from bad ones; choose a larger alpha or another signal",
            feasibility.base_risk,
            100.0 * feasibility.forced_deferral
        ))
    })?;
    Ok((threshold, 1.0 - kept as f64 / n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(good: &[f64], bad: &[f64]) -> Vec<Example> {
        let good = good.iter().map(|&signal| Example { signal, quality: 1.0 });
        good.chain(bad.iter().map(|&signal| Example { signal, quality: 0.0 })).collect()
    }

    #[test]
    fn a_threshold_by_hand() {
        // n = 9, alpha 0.2: the badness that stays may be at most 0.2 · 10 - 1 = 1.
        let examples = examples(&[9.0, 8.0, 7.0, 5.0, 3.0], &[6.0, 4.0, 2.0, 1.0]);
        assert_eq!(calibrate(&examples, 0.2).unwrap(), (5.0, 1.0 - 5.0 / 9.0));
        assert_eq!(calibrate(&examples, 0.9).unwrap(), (1.0, 0.0));
    }

    #[test]
    fn what_cannot_be_met_is_said() {
        let few = examples(&[1.0, 2.0], &[]);
        assert!(calibrate(&few, 0.05).unwrap_err().detail().contains("at least 19"));
        let hopeless = examples(&[1.0; 5], &[2.0; 14]);
        let error = calibrate(&hopeless, 0.06).unwrap_err();
        assert!(error.detail().contains("deferring every answer"), "{error}");
        let feasibility = Feasibility::of(&hopeless, 0.06);
        assert!((feasibility.forced_deferral - (14.0 / 19.0 - 0.06)).abs() < 1e-12);
        assert_eq!(calibrate(&few, 0.0).unwrap_err().code(), "bad-input");
        assert!(calibrate(&[Example { signal: f64::NAN, quality: 1.0 }], 0.5).is_err());
    }

    #[test]
    fn equal_signals_stay_or_go_together() {
        let examples = examples(&[1.0; 10], &[1.0; 3]);
        assert!(calibrate(&examples, 0.2).is_err());
        assert_eq!(calibrate(&examples, 0.3).unwrap(), (1.0, 0.0));
    }

    #[test]
    fn a_file_is_found_by_all_three_keys() {
        let text = r#"{"thresholds":[{"model":"ab","quantize":"q8","task":"t","signal":"meanLogprob","threshold":-0.5,"alpha":0.05,
            "examples":99,"baseRisk":0.1,"deferralRate":0.2}]}"#;
        let calibration: Calibration = serde_json::from_str(text).unwrap();
        assert!(calibration.validate().is_ok() && calibration.find("ab", "q8", "t").is_some());
        assert!(calibration.find("ab", "q4", "t").is_none() && calibration.find("ab", "q8", "u").is_none());
    }
}
