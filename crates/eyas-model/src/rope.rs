//! Rotary position embedding: frequencies, their scaling, and the table that kernels read.

use std::f64::consts::PI;

use eyas_core::{Error, Result};
use serde_json::Value;

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
    /// A divisor for each pair, as GGUF's `rope_freqs.weight` has them.
    PerPair(Vec<f32>),
}

impl RopeScaling {
    /// Reads `rope_scaling` or `rope_parameters` of a `config.json`.
    pub(crate) fn from_hf(rope: &Value, max_position_embeddings: usize) -> Result<Self> {
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        let number = |key: &str| {
            rope[key].as_f64().filter(|value| value.is_finite() && *value > 0.0).ok_or_else(|| {
                Error::bad_model(format!("config.json: {kind} RoPE scaling needs a positive {key}, found {}", rope[key]))
            })
        };
        let original = || rope["original_max_position_embeddings"].as_f64().unwrap_or(max_position_embeddings as f64);
        match kind {
            "default" => Ok(Self::None),
            "linear" => Ok(Self::Linear { factor: number("factor")? }),
            "llama3" => Ok(Self::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            }),
            "yarn" => {
                let factor = number("factor")?;
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
                "config.json: RoPE scaling {other:?} is not supported; supported: default, linear, llama3, yarn"
            ))),
        }
    }

    /// Radians a position for each pair, `dim / 2` of them, and the factor on cosines and sines.
    pub fn frequencies(&self, theta: f64, dim: usize) -> (Vec<f64>, f64) {
        let plain: Vec<f64> = (0..dim / 2).map(|i| theta.powf(-((2 * i) as f64) / dim as f64)).collect();
        match self {
            Self::None => (plain, 1.0),
            Self::Linear { factor } => (plain.iter().map(|f| f / factor).collect(), 1.0),
            Self::PerPair(divisors) => (plain.iter().zip(divisors).map(|(f, d)| f / f64::from(*d)).collect(), 1.0),
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

/// For each position of `context`: cosines of all pairs, then sines, `[context, dim]`, computed in `f64`.
pub fn rope_table(scaling: &RopeScaling, theta: f64, dim: usize, context: usize) -> Vec<f32> {
    let (frequencies, factor) = scaling.frequencies(theta, dim);
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
        let table = rope_table(&RopeScaling::None, 10_000.0, 4, 2);
        assert_eq!(table[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!((table[4] - 1.0_f32.cos()).abs() < 1e-7);
        assert!((table[7] - 0.01_f32.sin()).abs() < 1e-7);
    }

    #[test]
    fn llama3_keeps_high_and_divides_low_frequencies() {
        let rope = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64});
        let scaling = RopeScaling::from_hf(&rope, 128).unwrap();
        let (scaled, _) = scaling.frequencies(10_000.0, 64);
        let (plain, _) = RopeScaling::None.frequencies(10_000.0, 64);
        assert!((scaled[0] - plain[0]).abs() < 1e-12);
        assert!((scaled[31] - plain[31] / 8.0).abs() < 1e-12);
    }

    #[test]
    fn a_missing_factor_is_named() {
        let error = RopeScaling::from_hf(&json!({"type": "linear"}), 128).unwrap_err();
        assert!(error.detail().contains("factor"));
    }
}
