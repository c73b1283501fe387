//! Rotary position embedding: frequencies, their scaling, and the table that kernels read.

use std::f64::consts::PI;

use eyas_core::{Error, Result};
use serde_json::Value;

/// Rotary frequencies: a base and how they are scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How they are scaled for longer contexts.
    pub scaling: RopeScaling,
}

impl Rope {
    /// Frequencies of a base, not scaled.
    pub fn plain(theta: f64) -> Self {
        Self { theta, scaling: RopeScaling::None }
    }

    /// The length behind which a sequence is computed with other frequencies as a whole, if there is one.
    pub fn switch_at(&self) -> Option<usize> {
        match &self.scaling {
            RopeScaling::Long { original_context, .. } => Some(*original_context),
            _ => None,
        }
    }

    /// Checks that every number is finite and positive and that lists have a value for each pair.
    pub(crate) fn check(&self, rotary_dim: usize) -> Result<()> {
        if !(self.theta.is_finite() && self.theta > 0.0) {
            return Err(Error::bad_model(format!("rope_theta must be finite and positive, found {}", self.theta)));
        }
        let lists: &[&Vec<f32>] = match &self.scaling {
            RopeScaling::Long { short, long, .. } => &[short, long],
            RopeScaling::PerPair(divisors) => &[divisors],
            _ => &[],
        };
        // Those of a GGUF file come with its tensors.
        for list in lists.iter().filter(|list| !list.is_empty()) {
            if list.len() != rotary_dim / 2 || list.iter().any(|divisor| !(divisor.is_finite() && *divisor > 0.0)) {
                return Err(Error::bad_model(format!(
                    "RoPE scaling needs a positive divisor for each of {} pairs, found {} values",
                    rotary_dim / 2,
                    list.len()
                )));
            }
        }
        Ok(())
    }
}

/// How rotary frequencies are changed for contexts longer than those trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions are divided by `factor` (arXiv 2306.15595).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: low frequencies are divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Wavelengths longer than `original_context / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths shorter than `original_context / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context that the frequencies were trained on.
        original_context: f64,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// The divisor.
        factor: f64,
        /// The context that the frequencies were trained on.
        original_context: f64,
        /// Rotations above which a dimension is kept.
        beta_fast: f64,
        /// Rotations below which a dimension is divided.
        beta_slow: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Whether the ramp's bounds are rounded to whole dimensions.
        truncate: bool,
    },
    /// LongRoPE (arXiv 2402.13753): a divisor for each pair, others once the sequence is longer than `original_context`.
    Long {
        /// The divisors of short sequences.
        short: Vec<f32>,
        /// The divisors of long ones.
        long: Vec<f32>,
        /// The longest short sequence.
        original_context: usize,
        /// Factor on cosines and sines, at every length.
        attention_factor: f64,
    },
    /// A divisor for each pair, as GGUF's `rope_freqs.weight` has them.
    PerPair(Vec<f32>),
}

/// What `rope_scaling` and `rope_parameters` may hold; anything else would change the computation unseen.
const KEYS: [&str; 16] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "low_freq_factor",
    "high_freq_factor",
    "short_factor",
    "long_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "partial_rotary_factor",
];

impl RopeScaling {
    /// Reads `rope_scaling` or `rope_parameters` of a `config.json`.
    pub(crate) fn from_hf(rope: &Value, max_position_embeddings: usize) -> Result<Self> {
        if let Some(key) = rope.as_object().and_then(|rope| rope.keys().find(|key| !KEYS.contains(&key.as_str()))) {
            return Err(Error::unsupported(format!("config.json: {key:?} of the RoPE scaling is not supported")));
        }
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        let number = |key: &str| {
            rope[key].as_f64().filter(|value| value.is_finite() && *value > 0.0).ok_or_else(|| {
                Error::bad_model(format!("config.json: {kind} RoPE scaling needs a positive {key}, found {}", rope[key]))
            })
        };
        let original = || rope["original_max_position_embeddings"].as_f64().unwrap_or(max_position_embeddings as f64);
        match kind {
            // Dynamic scaling begins behind max_position_embeddings, which no context exceeds.
            "default" | "dynamic" => Ok(Self::None),
            "linear" => Ok(Self::Linear { factor: number("factor")? }),
            "llama3" => Ok(Self::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_context: original(),
            }),
            "longrope" => {
                let original_context = original();
                let factor = rope["factor"].as_f64().unwrap_or(max_position_embeddings as f64 / original_context);
                let attention_factor = rope["attention_factor"]
                    .as_f64()
                    .unwrap_or_else(|| if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original_context.ln()).sqrt() });
                let original_context = original_context as usize;
                Ok(Self::Long {
                    short: divisors(rope, "short_factor")?,
                    long: divisors(rope, "long_factor")?,
                    original_context,
                    attention_factor,
                })
            }
            "yarn" => {
                let factor = match &rope["factor"] {
                    Value::Null => max_position_embeddings as f64 / original(),
                    _ => number("factor")?,
                };
                let scale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
                let attention_factor = rope["attention_factor"].as_f64().unwrap_or_else(|| {
                    match (rope["mscale"].as_f64(), rope["mscale_all_dim"].as_f64()) {
                        (Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => scale(mscale) / scale(all),
                        _ => scale(1.0),
                    }
                });
                Ok(Self::Yarn {
                    factor,
                    original_context: original(),
                    beta_fast: rope["beta_fast"].as_f64().unwrap_or(32.0),
                    beta_slow: rope["beta_slow"].as_f64().unwrap_or(1.0),
                    attention_factor,
                    truncate: rope["truncate"].as_bool().unwrap_or(true),
                })
            }
            other => Err(Error::unsupported(format!(
                "config.json: RoPE scaling {other:?} is not supported; supported: default, linear, dynamic, llama3, yarn, longrope"
            ))),
        }
    }

    /// Radians a position for each pair, `dim / 2` of them, and the factor on cosines and sines. `is_long`: whether the sequence is longer than
    /// where [`Rope::switch_at`] says.
    pub fn frequencies(&self, theta: f64, dim: usize, is_long: bool) -> (Vec<f64>, f64) {
        let plain: Vec<f64> = (0..dim / 2).map(|i| theta.powf(-((2 * i) as f64) / dim as f64)).collect();
        match self {
            Self::None => (plain, 1.0),
            Self::Linear { factor } => (plain.iter().map(|f| f / factor).collect(), 1.0),
            Self::PerPair(divisors) => (plain.iter().zip(divisors).map(|(f, d)| f / f64::from(*d)).collect(), 1.0),
            Self::Long { short, long, attention_factor, .. } => {
                let divisors = if is_long { long } else { short };
                (plain.iter().zip(divisors).map(|(f, d)| f / f64::from(*d)).collect(), *attention_factor)
            }
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let scaled = plain.iter().map(|f| {
                    let wavelength = 2.0 * PI / f;
                    if wavelength < original_context / high_freq_factor {
                        *f
                    } else if wavelength > original_context / low_freq_factor {
                        f / factor
                    } else {
                        let smooth = (original_context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                });
                (scaled.collect(), 1.0)
            }
            Self::Yarn { factor, original_context, beta_fast, beta_slow, attention_factor, truncate } => {
                // The dimension whose wavelength makes that many rotations over the original context.
                let dimension =
                    |rotations: f64| dim as f64 * (original_context / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
                let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let low = low.max(0.0);
                let mut high = high.min((dim - 1) as f64);
                if (high - low).abs() < f64::EPSILON {
                    high += 0.001;
                }
                let scaled = plain.iter().enumerate().map(|(i, f)| {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    f / factor * ramp + f * (1.0 - ramp)
                });
                (scaled.collect(), *attention_factor)
            }
        }
    }
}

/// A list of divisors of a `config.json`.
fn divisors(rope: &Value, key: &str) -> Result<Vec<f32>> {
    let list = rope[key].as_array().filter(|list| !list.is_empty());
    let list = list.and_then(|list| list.iter().map(|value| value.as_f64().map(|value| value as f32)).collect());
    list.ok_or_else(|| Error::bad_model(format!("config.json: longrope RoPE scaling needs a list of numbers {key}")))
}

/// For each position of `context`: cosines of all pairs, then sines, `[context, dim]`, computed in `f64`.
pub fn rope_table(rope: &Rope, dim: usize, context: usize, is_long: bool) -> Vec<f32> {
    let (frequencies, factor) = rope.scaling.frequencies(rope.theta, dim, is_long);
    let mut table = Vec::with_capacity(context * dim);
    for position in 0..context {
        table.extend(frequencies.iter().map(|f| ((position as f64 * f).cos() * factor) as f32));
        table.extend(frequencies.iter().map(|f| ((position as f64 * f).sin() * factor) as f32));
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn position_zero_does_not_rotate() {
        let table = rope_table(&Rope::plain(10_000.0), 4, 2, false);
        assert_eq!(table[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!((table[4] - 1.0_f32.cos()).abs() < 1e-7);
        assert!((table[7] - 0.01_f32.sin()).abs() < 1e-7);
    }

    #[test]
    fn llama3_keeps_high_and_divides_low_frequencies() {
        let rope = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64});
        let scaling = RopeScaling::from_hf(&rope, 128).unwrap();
        let (scaled, _) = scaling.frequencies(10_000.0, 64, false);
        let (plain, _) = RopeScaling::None.frequencies(10_000.0, 64, false);
        assert!((scaled[0] - plain[0]).abs() < 1e-12);
        assert!((scaled[31] - plain[31] / 8.0).abs() < 1e-12);
    }

    #[test]
    fn a_missing_factor_is_named() {
        let error = RopeScaling::from_hf(&json!({"type": "linear"}), 128).unwrap_err();
        assert!(error.detail().contains("factor"));
    }

    #[test]
    fn long_sequences_have_their_own_divisors() {
        let rope = json!({"rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 4.0],
            "original_max_position_embeddings": 16});
        let rope = Rope { theta: 100.0, scaling: RopeScaling::from_hf(&rope, 64).unwrap() };
        assert_eq!(rope.switch_at(), Some(16));
        let (long, factor) = rope.scaling.frequencies(100.0, 4, true);
        assert!((long[0] - 0.5).abs() < 1e-12 && (long[1] - 0.025).abs() < 1e-12);
        assert!((factor - 1.5_f64.sqrt()).abs() < 1e-12, "1 + ln 4 / ln 16");
        assert_eq!(rope.check(4).map_err(|error| error.code()), Ok(()));
        assert_eq!(rope.check(6).map_err(|error| error.code()), Err("bad-model"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = RopeScaling::from_hf(&json!({"rope_type": "default", "mrope_section": [1, 1]}), 128).unwrap_err();
        assert_eq!(error.code(), "unsupported-model");
        assert!(error.detail().contains("mrope_section"));
    }
}
