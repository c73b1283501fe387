//! Whether a model writes text or reads it.

use serde::Serialize;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// It writes text: [`crate::Engine`].
    Decoder,
    /// It embeds and classifies texts: [`crate::EncoderEngine`].
    Encoder,
}
