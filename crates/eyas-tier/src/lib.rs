//! Which tier answers a request: this device, or a cloud that its owner allowed; and why, and what left for it.
//!
//! - **Privacy is a type.** The network takes a [`CloudPermit`], which only [`CloudPermit::grant`] makes, from a [`CloudAllowed`] that a
//!   local-only [`Privacy`] does not give. What a local-only request put into a session is kept there by [`Taints`].
//! - **The ledger** ([`EgressLedger`]) is written before bytes are handed over.
//! - **Three reasons** ([`Reason`]) say why the other tier did not answer: it can't, it should not, it may not.
//! - **Confidence** ([`Confidence`]) is compared with a [`Threshold`] that [`calibrate`] made; without one it decides nothing.
//! - **The cloud** is any OpenAI-compatible server, asked with bounds on attempts, waiting and bytes ([`RetryPolicy`], [`SseParser`]).
//! - **Memory** is judged before a weight is fetched ([`plan`]), and a load that killed the tab is noticed ([`LoadSentinel`]).
//!
//! What it does not do: no input or output of its own (the shell gives [`Clock`], [`Network`], [`TokenSource`], [`LocalTier`] and [`Store`]), no
//! tensors, no threads; and it does not redact: leaving out names is not privacy (arXiv 2410.17127).
//!
//! ```
//! use eyas_tier::Privacy;
//! let application = Privacy::PreferCloud;
//! let request = Privacy::LocalOnly;
//! assert_eq!(application.combine(request), Privacy::LocalOnly);
//! assert!(!application.combine(request).allows_cloud());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp))] // a test fails by panicking; exact values

mod answer_body;
mod calibration;
mod chat_body;
mod chat_stream;
mod cloud_call;
mod cloud_permit;
mod confidence;
#[cfg(test)]
#[path = "../../../tests/fuzz/damage.rs"]
mod damage;
mod egress_ledger;
mod endpoint;
mod excerpts;
mod finished;
mod first_token_speed;
mod http_date;
mod leave;
mod load_sentinel;
mod local_tier;
mod memory_plan;
mod message_texts;
mod network;
mod privacy;
mod provenance;
mod reason;
mod retry;
mod shown_text;
mod sse;
mod taint;
mod tier_answer;
mod tier_config;
mod tiers;
mod token;

pub use calibration::{Calibration, Example, Feasibility, Threshold, calibrate};
pub use cloud_permit::{CloudAllowed, CloudPermit};
pub use confidence::{Confidence, Signal};
pub use egress_ledger::{BrokenOff, EgressEntry, EgressLedger, EgressListener, EgressOutcome};
pub use endpoint::{Endpoint, origin};
pub use eyas_core::{Clock, LocalFuture};
pub use load_sentinel::{LoadSentinel, Store};
pub use local_tier::{LocalAnswer, LocalTier};
pub use memory_plan::{Answerer, Demotion, Excess, MemoryBudget, MemoryNeed, MemoryPlan, Variant, excesses, plan};
pub use network::{CloudRequest, CloudResponse, Network, NetworkFailure};
pub use privacy::Privacy;
pub use provenance::{Calibrated, TextPart, TierCompletion, TierEvent, TierProvenance};
pub use reason::{Reason, Refusal};
pub use retry::RetryPolicy;
pub use sse::{MAX_EVENT_BYTES, SseParser};
pub use taint::{TaintScope, Taints};
pub use tier_answer::TierAnswer;
pub use tier_config::{Budget, CloudConfig, MidStream, Prices, Saving, TaintRule, TierConfig};
pub use tiers::{Earlier, LocalSide, Ports, TierRequest, Tiers};
pub use token::{TokenSource, looks_like_a_secret};
