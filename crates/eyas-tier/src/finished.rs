//! A finished answer, put together with where it came from.

use eyas_core::{Completion, FinishReason, Tier, Timing, Usage};

use crate::{
    Calibrated, Confidence, Refusal, TierCompletion, TierProvenance, chat_stream::ChatStream, provenance::TextPart, tiers::Shared,
};

/// What the device computed to the end.
pub(crate) struct LocalEnd {
    pub(crate) completion: Completion,
    pub(crate) signals: Option<Confidence>,
    pub(crate) confidence: Option<f64>,
    pub(crate) threshold: Option<f64>,
}

/// What the cloud sent to the end.
pub(crate) struct CloudEnd {
    pub(crate) text: String,
    /// Local text that was shown and stays before it.
    pub(crate) local_text: String,
    pub(crate) first_text_ms: Option<f64>,
    pub(crate) stream: ChatStream,
    /// The local answer that was not confident enough.
    pub(crate) local: Option<LocalEnd>,
    pub(crate) downgrades: Vec<String>,
}

/// What every answer has at its end.
pub(crate) struct Finished<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: u64,
    pub(crate) refusal: Refusal,
    pub(crate) local_error: Option<&'static str>,
    pub(crate) attempts: u32,
    pub(crate) bytes_sent: u64,
    pub(crate) ms: f64,
    pub(crate) seed: Option<u64>,
}

impl Finished<'_> {
    fn provenance(self, tier: Tier, model: String, device: String) -> TierProvenance {
        let Refusal { reason, detail } = self.refusal;
        TierProvenance {
            tier,
            model,
            device,
            reason,
            detail,
            local_error: self.local_error,
            confidence: None,
            threshold: None,
            calibration: Calibrated::Uncalibrated,
            signals: None,
            attempts: self.attempts,
            bytes_sent: self.bytes_sent,
            ms: self.ms,
            downgrades: Vec::new(),
            parts: Vec::new(),
            cost: None,
            saved: None,
            request: self.request,
        }
    }

    fn price(&self, prompt_tokens: usize, completion_tokens: usize) -> Option<f64> {
        let prices = self.shared.config.cloud.as_ref()?.prices?;
        Some(prices.of(prompt_tokens, completion_tokens))
    }

    /// The device's answer.
    pub(crate) fn local(self, end: LocalEnd) -> TierCompletion {
        let LocalEnd { completion, signals, confidence, threshold } = end;
        let saved = self.price(completion.usage.prompt_tokens, completion.usage.completion_tokens);
        let provenance = TierProvenance {
            confidence,
            threshold,
            calibration: calibrated(threshold),
            signals,
            saved,
            ..self.provenance(Tier::Local, completion.provenance.model, completion.provenance.device)
        };
        TierCompletion {
            text: completion.text,
            reasoning: completion.reasoning,
            token_ids: completion.token_ids,
            finish_reason: completion.finish_reason,
            usage: completion.usage,
            timing: completion.timing,
            provenance,
            logprobs: completion.logprobs,
            seed: Some(completion.seed),
        }
    }

    /// The cloud's answer.
    pub(crate) fn cloud(self, end: CloudEnd) -> TierCompletion {
        let CloudEnd { text, local_text, first_text_ms, stream, local, downgrades } = end;
        let usage = Usage {
            prompt_tokens: stream.prompt_tokens.unwrap_or(0),
            completion_tokens: stream.completion_tokens.unwrap_or(0),
            ..Usage::default()
        };
        let first_token_ms = first_text_ms.unwrap_or(self.ms);
        let decode_ms = (self.ms - first_token_ms).max(0.0);
        let rate = |tokens: usize| if decode_ms > 0.0 { tokens.saturating_sub(1) as f64 * 1000.0 / decode_ms } else { 0.0 };
        let timing = Timing { prefill_ms: 0.0, first_token_ms, decode_ms, tokens_per_second: rate(usage.completion_tokens) };
        let cost = stream.completion_tokens.and_then(|_| self.price(usage.prompt_tokens, usage.completion_tokens));
        let asked = self.shared.config.cloud.as_ref().map(|cloud| cloud.model.clone()).unwrap_or_default();
        let origin = self.shared.endpoint.as_ref().map(|endpoint| endpoint.origin().to_owned()).unwrap_or_default();
        let seed = self.seed;
        let length = |text: &str| text.encode_utf16().count();
        let parts = if local_text.is_empty() {
            Vec::new()
        } else {
            vec![
                TextPart { tier: Tier::Local, length: length(&local_text) },
                TextPart { tier: Tier::Cloud, length: length(&text) },
            ]
        };
        let threshold = local.as_ref().and_then(|local| local.threshold);
        let provenance = TierProvenance {
            confidence: local.as_ref().and_then(|local| local.confidence),
            threshold,
            calibration: calibrated(threshold),
            signals: local.and_then(|local| local.signals),
            downgrades,
            parts,
            cost,
            ..self.provenance(Tier::Cloud, stream.model.unwrap_or(asked), origin)
        };
        TierCompletion {
            text: local_text + &text,
            reasoning: String::new(),
            token_ids: Vec::new(),
            finish_reason: stream.finish.unwrap_or(FinishReason::Stop),
            usage,
            timing,
            provenance,
            logprobs: Vec::new(),
            seed,
        }
    }
}

fn calibrated(threshold: Option<f64>) -> Calibrated {
    if threshold.is_some() { Calibrated::Calibrated } else { Calibrated::Uncalibrated }
}
