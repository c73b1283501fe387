//! How a model is to be loaded.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Tuning};

/// The device that the caller asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// The GPU where there is a usable one, the CPU otherwise.
    #[default]
    Auto,
    /// The GPU or an error.
    Gpu,
    /// The CPU.
    Cpu,
}

/// What becomes of matrix weights while they are loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantize {
    /// Quantised sources stay as they are; small models stay as stored; large float models become q8 or q4.
    #[default]
    Auto,
    /// Every matrix stays in the kind in which it is stored.
    None,
    /// Every float matrix becomes 8-bit blocks of 32.
    Q8,
    /// Every float matrix becomes 4-bit blocks of 32.
    Q4,
}

/// Options of a load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadOptions {
    /// What becomes of matrix weights.
    pub quantize: Quantize,
    /// Tokens that prompt and answer may take together; absent: the model's maximum, at most 4,096.
    pub context_tokens: Option<usize>,
    /// Prompt tokens that are computed in one step.
    pub prefill_chunk_tokens: usize,
    /// How kernels are cut on a GPU; absent: as was measured on its adapter.
    pub tuning: Option<Tuning>,
    /// Whether the CPU may use relaxed SIMD, where the browser has it: products with 4-bit weights then take their input rounded to 8 bits in place of 16.
    pub relaxed_simd: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { quantize: Quantize::Auto, context_tokens: None, prefill_chunk_tokens: 128, tuning: None, relaxed_simd: true }
    }
}

impl LoadOptions {
    /// Fails with `bad-input` where a value is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.context_tokens == Some(0) {
            return Err(Error::bad_input("contextTokens must be at least 1, found 0"));
        }
        if !(1..=4096).contains(&self.prefill_chunk_tokens) {
            return Err(Error::bad_input(format!(
                "prefillChunkTokens must be between 1 and 4096, found {}",
                self.prefill_chunk_tokens
            )));
        }
        self.tuning.as_ref().map_or(Ok(()), Tuning::validate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_context_is_refused() {
        let options = LoadOptions { context_tokens: Some(0), ..LoadOptions::default() };
        assert_eq!(options.validate().unwrap_err().code(), "bad-input");
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(serde_json::from_str::<LoadOptions>(r#"{"quantise":"q8"}"#).is_err());
    }
}
