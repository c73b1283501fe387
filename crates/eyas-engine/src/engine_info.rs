//! What was loaded, and where.

use eyas_core::{DeviceReport, WeightKind};
use serde::Serialize;

use crate::ModelKind;

/// What was loaded, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineInfo {
    /// Whether it writes texts or embeds them.
    pub kind: ModelKind,
    /// The model's name.
    pub model: String,
    /// The architecture that its configuration names.
    pub architecture: String,
    /// Where it runs, and why there.
    pub device: DeviceReport,
    /// Bytes of weights and of live KV caches on the device.
    pub memory_bytes: u64,
    /// Tokens that prompt and answer may take together; those of a text where it is an encoder.
    pub context_tokens: usize,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// What became of the matrix weights: the kind in which most of them are held.
    pub quantize: WeightKind,
    /// The fingerprint of the weights, by which calibrations are found: 16 hexadecimal digits.
    pub fingerprint: String,
    /// Whether messages can be turned into a prompt.
    pub has_chat_template: bool,
    /// Values of an encoder's vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dimensions: Option<usize>,
    /// Names of the prompts that an encoder's files have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Labels of an encoder's classification head, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
}
