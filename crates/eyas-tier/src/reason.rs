//! Why the tier that answered was not the other one.

use serde::{Deserialize, Serialize};

/// Why the other tier did not answer. There are these three and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It can't: no device, over budget, no model, device lost, context too long, network down.
    #[serde(rename = "cannot")]
    CanNot,
    /// It could, but should not: not confident enough, too slow, saving data or battery.
    ShouldNot,
    /// The policy forbids it, or keeps it for what the other one can't do.
    MayNot,
}

/// Why a tier was passed over: one of the three reasons, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// In words; never what a person typed.
    pub detail: String,
}

impl Refusal {
    /// The tier can't.
    pub fn cannot(detail: impl Into<String>) -> Self {
        Self { reason: Reason::CanNot, detail: detail.into() }
    }

    /// The tier should not.
    pub fn should_not(detail: impl Into<String>) -> Self {
        Self { reason: Reason::ShouldNot, detail: detail.into() }
    }

    /// The tier may not.
    pub fn may_not(detail: impl Into<String>) -> Self {
        Self { reason: Reason::MayNot, detail: detail.into() }
    }
}
