//! What it costs to decide which tier answers.

use std::{future, rc::Rc, time::Instant};

use eyas_core::{
    CancelToken, Completion, Error, Event, FinishReason, Message, Provenance, Result, Tier, Timing, TokenSignal, Usage,
};
use eyas_tier::{
    CloudPermit, CloudRequest, CloudResponse, LocalAnswer, LocalFuture, LocalTier, Network, NetworkFailure, Ports, TierConfig,
    TierEvent, TierRequest, Tiers, TokenSource,
};
use serde_json::json;

use crate::system_clock::SystemClock;

const WORDS: usize = 800;
const SIGNALS: usize = 300;
const RUNS: usize = 201;

/// Everything that a request costs besides computing the answer and its signals, in milliseconds: privacy, taints, the body for the cloud, the
/// confidence of 300 tokens against a threshold, grounding in a question of 800 words, the provenance. The median of 201 requests.
pub async fn routing_ms() -> Result<f64> {
    let threshold = json!({
        "model": "bench", "quantize": "q8", "task": "default", "signal": "grounding", "threshold": 0.0, "alpha": 0.05,
        "examples": 100, "baseRisk": 0.1, "deferralRate": 0.1,
    });
    let config = json!({ "cloud": { "endpoint": "https://cloud.test/v1", "model": "bench" }, "calibration": { "thresholds": [threshold] } });
    let config: TierConfig = serde_json::from_value(config).map_err(|error| Error::internal(error.to_string()))?;
    let ports =
        Ports { clock: Rc::new(SystemClock::start()), network: Rc::new(Nowhere), tokens: Rc::new(Nowhere), listener: None };
    let tiers = Tiers::new(config, ports)?;
    tiers.set_model("bench", "q8");
    let words: Vec<String> = (0..WORDS).map(|word| format!("word{word}")).collect();
    let messages = vec![Message::user(words.join(" "))];
    let mut times = Vec::with_capacity(RUNS);
    for session in 0..RUNS {
        let request = TierRequest { session: session as u32, messages: Some(messages.clone()), ..TierRequest::default() };
        let device = Device(words[..SIGNALS].join(" "));
        let begin = Instant::now();
        let mut answer = tiers.start(request, Ok(Box::new(device)), CancelToken::new());
        while !matches!(answer.next().await?, TierEvent::Done(_)) {}
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Nobody is there.
struct Nowhere;

impl Network for Nowhere {
    fn post<'a>(
        &'a self,
        _: &'a CloudPermit,
        _: CloudRequest,
    ) -> LocalFuture<'a, Result<Box<dyn CloudResponse>, NetworkFailure>> {
        Box::pin(future::ready(Err(NetworkFailure("a benchmark asks nobody".into()))))
    }
}

impl TokenSource for Nowhere {
    fn token(&self, _: bool) -> LocalFuture<'_, Result<Option<String>>> {
        Box::pin(future::ready(Ok(None)))
    }
}

/// A device that has the answer at once.
struct Device(String);

impl LocalTier for Device {
    fn start(&self, _: bool) -> Result<Box<dyn LocalAnswer>> {
        let signal = TokenSignal { logprob: -0.1, entropy: 0.2, margin: 0.9 };
        Ok(Box::new(Answer { text: self.0.clone(), signals: vec![signal; SIGNALS] }))
    }
}

struct Answer {
    text: String,
    signals: Vec<TokenSignal>,
}

impl LocalAnswer for Answer {
    fn next(&mut self) -> LocalFuture<'_, Result<Event>> {
        let completion = Completion {
            text: self.text.clone(),
            reasoning: String::new(),
            token_ids: Vec::new(),
            finish_reason: FinishReason::Stop,
            usage: Usage { prompt_tokens: WORDS, cached_tokens: 0, completion_tokens: SIGNALS, ..Usage::default() },
            timing: Timing::default(),
            provenance: Provenance {
                tier: Tier::Local,
                model: "bench".into(),
                device: String::new(),
                reason: String::new(),
                attempts: 1,
                bytes_sent: 0,
            },
            logprobs: Vec::new(),
            seed: 0,
        };
        Box::pin(future::ready(Ok(Event::Done(Box::new(completion)))))
    }

    fn pending_tokens(&self) -> usize {
        WORDS
    }

    fn signals(&self) -> &[TokenSignal] {
        &self.signals
    }
}

#[cfg(test)]
mod tests {
    use super::routing_ms;

    #[test]
    fn deciding_costs_something_and_little() {
        let ms = pollster::block_on(routing_ms()).unwrap();
        assert!(ms > 0.0 && ms < 50.0, "{ms} ms without optimisation");
    }
}
