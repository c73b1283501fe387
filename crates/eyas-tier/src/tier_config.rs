//! What an application sets once, when it loads a model.

use eyas_core::{Error, Result};
use serde::Deserialize;

use crate::{Calibration, Endpoint, Privacy, RetryPolicy, TaintScope, chat_body::DROPPABLE};

/// What becomes of local text that was shown, or could have been, when the cloud takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MidStream {
    /// Nothing is shown until the local answer is settled, as long as the cloud may still take over.
    #[default]
    Hold,
    /// Local text is shown at once, and withdrawn by an event before the cloud's.
    Replace,
    /// Local text is shown at once and stays; the cloud's follows after an event.
    Append,
}

/// What becomes of a request that may leave, in a session with messages that must not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaintRule {
    /// It stays on the device.
    #[default]
    Refuse,
    /// It may leave without those messages; it stays where its question is one of them.
    Without,
}

/// What a million tokens cost, in a currency of the application's choice.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// A million tokens of prompts.
    pub prompt_per_million: f64,
    /// A million tokens of answers.
    pub completion_per_million: f64,
}

impl Prices {
    /// What so many tokens cost.
    pub fn of(&self, prompt_tokens: usize, completion_tokens: usize) -> f64 {
        (self.prompt_per_million * prompt_tokens as f64 + self.completion_per_million * completion_tokens as f64) / 1e6
    }
}

/// The cloud.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudConfig {
    /// The base address of an OpenAI-compatible server, e.g. `https://host/v1`.
    pub endpoint: String,
    /// The model that the server is asked for.
    pub model: String,
    /// Origins that the endpoint may have; empty: any.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Lets keys pass that look like a provider's long-lived secret.
    #[serde(default)]
    pub dangerously_send_long_lived_secrets_from_the_browser: bool,
    /// Options beyond the common ones that this server honours: `topK`, `minP`, `repetitionPenalty`.
    #[serde(default)]
    pub supports: Vec<String>,
    /// Options that may be dropped for the cloud; each one dropped is listed in the provenance.
    #[serde(default)]
    pub may_drop: Vec<String>,
    /// For messages that must not leave.
    #[serde(default)]
    pub taint: TaintRule,
    /// Where they are known again.
    #[serde(default)]
    pub taint_scope: TaintScope,
    /// Bounds on attempts and waiting.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What tokens cost.
    #[serde(default)]
    pub prices: Option<Prices>,
}

/// What the application wants saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Saving {
    /// The cloud should not be asked, for the sake of the data plan.
    pub data: bool,
    /// The device should not compute, for the sake of the battery.
    pub battery: bool,
}

/// Bounds on what an answer may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// Memory on the device.
    pub memory_bytes: Option<u64>,
    /// The model's files.
    pub download_bytes: Option<u64>,
    /// From the request to the first token.
    pub first_token_ms: Option<f64>,
}

/// The configuration of the tiers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TierConfig {
    /// For all requests; sessions and requests can only tighten it.
    pub privacy: Privacy,
    /// Absent: nothing can leave.
    pub cloud: Option<CloudConfig>,
    /// Bounds.
    pub budget: Budget,
    /// Thresholds for confidence; absent: no escalation by confidence.
    pub calibration: Option<Calibration>,
    /// When the cloud takes over.
    pub mid_stream: MidStream,
    /// What is to be saved.
    pub saving: Saving,
}

impl TierConfig {
    /// Checks everything, so that a mistake shows when the model is loaded. Fails with `bad-input`.
    pub fn validate(&self) -> Result<Option<Endpoint>> {
        let bad = |what: String| Err(Error::bad_input(what));
        if let Some(ms) = self.budget.first_token_ms.filter(|ms| !(ms.is_finite() && *ms > 0.0)) {
            return bad(format!("budget.firstTokenMs must be more than 0, found {ms}"));
        }
        if let Some(calibration) = &self.calibration {
            calibration.validate()?;
        }
        let Some(cloud) = &self.cloud else { return Ok(None) };
        if cloud.model.is_empty() {
            return bad("cloud.model must name the model that the server is asked for".into());
        }
        let known = |name: &String| ["topK", "minP", "repetitionPenalty"].contains(&name.as_str());
        if let Some(unknown) = cloud.supports.iter().find(|name| !known(name)) {
            return bad(format!("cloud.supports has the unknown option {unknown:?}; known are topK, minP and repetitionPenalty"));
        }
        if let Some(unknown) = cloud.may_drop.iter().find(|name| !DROPPABLE.contains(&name.as_str())) {
            return bad(format!("cloud.mayDrop has the unknown option {unknown:?}; known are {}", DROPPABLE.join(", ")));
        }
        let RetryPolicy { max_retry_after_ms, idle_timeout_ms, total_timeout_ms, .. } = cloud.retry;
        if [max_retry_after_ms, idle_timeout_ms, total_timeout_ms].iter().any(|ms| !(ms.is_finite() && *ms > 0.0)) {
            return bad("the times in cloud.retry must be more than 0".into());
        }
        if let Some(prices) = &cloud.prices
            && [prices.prompt_per_million, prices.completion_per_million]
                .iter()
                .any(|price| !(price.is_finite() && *price >= 0.0))
        {
            return bad("cloud.prices must not be negative".into());
        }
        Endpoint::parse(&cloud.endpoint, &cloud.allowed_origins).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cloud_and_local_first_by_default() {
        let config: TierConfig = serde_json::from_str("{}").unwrap();
        assert_eq!((config.privacy, config.mid_stream), (Privacy::PreferLocal, MidStream::Hold));
        assert_eq!(config.validate().unwrap(), None);
    }

    #[test]
    fn mistakes_are_found_when_the_model_is_loaded() {
        for text in [
            r#"{"privacy":"local only"}"#,
            r#"{"privacy":"local-only","clod":{}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1"}}"#,
        ] {
            assert!(serde_json::from_str::<TierConfig>(text).is_err(), "{text}");
        }
        for text in [
            r#"{"budget":{"firstTokenMs":0}}"#,
            r#"{"cloud":{"endpoint":"http://host/v1","model":"m"}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":""}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":"m","supports":["seed"]}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":"m","mayDrop":["topk"]}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":"m","allowedOrigins":["https://other"]}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":"m","retry":{"idleTimeoutMs":0}}}"#,
            r#"{"cloud":{"endpoint":"https://host/v1","model":"m","prices":{"promptPerMillion":-1,"completionPerMillion":1}}}"#,
        ] {
            let config: TierConfig = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().code(), "bad-input", "{text}");
        }
    }

    #[test]
    fn a_million_tokens_cost_their_price() {
        let prices = Prices { prompt_per_million: 2.0, completion_per_million: 10.0 };
        assert_eq!(prices.of(500_000, 100_000), 2.0);
    }
}
