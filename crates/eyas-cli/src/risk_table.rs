//! Thresholds for many risks, for whoever wants to choose one by what it costs.

use eyas_tier::{Example, Threshold, calibrate};
use serde::Serialize;

use crate::{
    deferral::curve,
    routing_report::{AtThreshold, Measured},
};

/// Risks from half a percent up, in steps of half a percent, until nothing is deferred.
const STEPS: u32 = 100;
const STEP: f64 = 0.005;
/// Points of the curve, besides the first.
const POINTS: usize = 100;

/// Everything that a slider for the risk needs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RiskTable {
    /// The rows, by rising risk; risks that can't be met are absent.
    rows: Vec<RiskRow>,
    /// Examples that neither made a threshold nor the curve's order, but tested both.
    tested: usize,
    /// Mean quality on those where `k` percent of them are deferred, the least certain first: `[101]`.
    curve: Vec<f64>,
    /// Whether gold labels stand for the cloud's answers.
    cloud_is_gold: bool,
}

/// One risk.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RiskRow {
    /// As `load({ calibration })` takes it.
    threshold: Threshold,
    /// Mean badness that stayed on the device, of the test's examples.
    tested_risk: f64,
    /// The part of them that was deferred.
    tested_deferral_rate: f64,
    /// The part of another task that was deferred.
    foreign_deferral_rate: Option<f64>,
}

impl RiskTable {
    /// Finds a threshold for every risk by `examples`, and tries it on the rest.
    pub fn of(examples: &[Example], measured: &Measured) -> Self {
        let foreign = (!measured.foreign.by_signal.is_empty()).then_some(&measured.foreign);
        let mut rows = Vec::new();
        for step in 1..=STEPS {
            let alpha = f64::from(step) * STEP;
            let Ok((threshold, deferral_rate)) = calibrate(examples, alpha) else { continue };
            let AtThreshold { risk, deferral_rate: tested_deferral_rate } = measured.test.at(threshold);
            rows.push(RiskRow {
                threshold: Threshold { threshold, alpha, deferral_rate, ..measured.entry.clone() },
                tested_risk: risk,
                tested_deferral_rate,
                foreign_deferral_rate: foreign.map(|part| part.at(threshold).deferral_rate),
            });
            if deferral_rate <= 0.0 {
                break;
            }
        }
        let all = curve(&measured.test.by_signal);
        let last = all.len() - 1;
        let curve = (0..=POINTS).map(|k| all[(k * last + POINTS / 2) / POINTS]).collect();
        Self { rows, tested: last, curve, cloud_is_gold: measured.cloud_is_gold }
    }
}
