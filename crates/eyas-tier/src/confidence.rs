//! How certain an answer is, by what its own computation gives for free.

use std::str::FromStr;

use eyas_core::{Error, TokenSignal};
use serde::{Deserialize, Serialize};

/// Signals of a whole answer. Where it has no token, the token signals are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Confidence {
    /// Mean log-probability of the tokens: the length-normalised log-probability of the answer (arXiv 2404.10136 on why not the sum).
    pub mean_logprob: Option<f64>,
    /// The least log-probability.
    pub min_logprob: Option<f64>,
    /// The log-probability below which lies a tenth of the tokens (nearest rank).
    pub q10_logprob: Option<f64>,
    /// Mean entropy in nats.
    pub mean_entropy: Option<f64>,
    /// Probability of the best first token less that of the second best; where the request names labels, among these alone: how clear the choice was.
    pub first_margin: Option<f64>,
    /// Where the answer should be JSON: 1 if it is, else 0.
    pub structure: Option<f64>,
    /// The part of the answer's words that stand in the question, from 0 to 1; absent where the answer has no words.
    pub grounding: Option<f64>,
}

/// Names one signal of a [`Confidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// [`Confidence::mean_logprob`].
    MeanLogprob,
    /// [`Confidence::min_logprob`].
    MinLogprob,
    /// [`Confidence::q10_logprob`].
    Q10Logprob,
    /// The negative of [`Confidence::mean_entropy`], so that more is more certain.
    MeanEntropy,
    /// [`Confidence::first_margin`].
    FirstMargin,
    /// [`Confidence::structure`].
    Structure,
    /// [`Confidence::grounding`].
    Grounding,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 7] = [
        Self::MeanLogprob,
        Self::MinLogprob,
        Self::Q10Logprob,
        Self::MeanEntropy,
        Self::FirstMargin,
        Self::Structure,
        Self::Grounding,
    ];

    /// The name as files and JavaScript write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeanLogprob => "meanLogprob",
            Self::MinLogprob => "minLogprob",
            Self::Q10Logprob => "q10Logprob",
            Self::MeanEntropy => "meanEntropy",
            Self::FirstMargin => "firstMargin",
            Self::Structure => "structure",
            Self::Grounding => "grounding",
        }
    }

    /// The signal's value, the more certain the larger; absent or not finite: the least certain of all.
    pub fn of(self, confidence: &Confidence) -> f64 {
        let value = match self {
            Self::MeanLogprob => confidence.mean_logprob,
            Self::MinLogprob => confidence.min_logprob,
            Self::Q10Logprob => confidence.q10_logprob,
            Self::MeanEntropy => confidence.mean_entropy.map(|entropy| -entropy),
            Self::FirstMargin => confidence.first_margin,
            Self::Structure => confidence.structure,
            Self::Grounding => confidence.grounding,
        };
        value.filter(|value| value.is_finite()).unwrap_or(f64::MIN)
    }
}

impl FromStr for Signal {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|signal| signal.name() == name);
        found.ok_or_else(|| Error::bad_input(format!("the signal {name:?} is unknown; known are: {}", names())))
    }
}

impl Confidence {
    /// Sums up the tokens of an answer, its text, and how much of that stands in `question`.
    pub fn of(tokens: &[TokenSignal], answer: &str, question: &str, expects_json: bool) -> Self {
        let count = tokens.len() as f64;
        let mean = |value: fn(&TokenSignal) -> f32| {
            (!tokens.is_empty()).then(|| tokens.iter().map(|token| f64::from(value(token))).sum::<f64>() / count)
        };
        let mut logprobs: Vec<f32> = tokens.iter().map(|token| token.logprob).collect();
        eyas_core::sort_by(&mut logprobs, f32::total_cmp);
        let rank = logprobs.len().div_ceil(10).saturating_sub(1);
        Self {
            mean_logprob: mean(|token| token.logprob),
            min_logprob: logprobs.first().map(|logprob| f64::from(*logprob)),
            q10_logprob: logprobs.get(rank).map(|logprob| f64::from(*logprob)),
            mean_entropy: mean(|token| token.entropy),
            first_margin: tokens.first().map(|token| f64::from(token.margin)),
            structure: expects_json.then(|| f64::from(u8::from(serde_json::from_str::<serde::de::IgnoredAny>(answer).is_ok()))),
            grounding: grounding(answer, question),
        }
    }
}

/// Words of `answer` that are words of `question`, regardless of case.
fn grounding(answer: &str, question: &str) -> Option<f64> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let mut known = words(question);
    eyas_core::sort(&mut known);
    let answer = words(answer);
    let found = answer.iter().filter(|word| known.binary_search(word).is_ok()).count();
    (!answer.is_empty()).then(|| found as f64 / answer.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_hand() {
        let token = |logprob, entropy, margin| TokenSignal { logprob, entropy, margin };
        let tokens = [token(-0.5, 1.0, 0.25), token(-1.5, 0.5, 0.9), token(-1.0, 0.0, 1.0)];
        let confidence = Confidence::of(&tokens, "Rain in Oslo!", "will it RAIN in oslo tomorrow", true);
        assert_eq!(confidence.mean_logprob, Some(-1.0));
        assert_eq!((confidence.min_logprob, confidence.q10_logprob), (Some(-1.5), Some(-1.5)));
        assert_eq!((confidence.mean_entropy, confidence.first_margin), (Some(0.5), Some(0.25)));
        assert_eq!((confidence.structure, confidence.grounding), (Some(0.0), Some(1.0)));
        assert_eq!(Signal::MeanEntropy.of(&confidence), -0.5);
    }

    #[test]
    fn no_token_is_the_least_certain_of_all() {
        let confidence = Confidence::of(&[], "", "question", false);
        for signal in Signal::ALL {
            assert_eq!(signal.of(&confidence), f64::MIN);
            assert_eq!(signal.name().parse::<Signal>().unwrap(), signal);
        }
        assert!("certainty".parse::<Signal>().is_err());
    }

    #[test]
    fn a_tenth_of_twenty_is_the_second_lowest() {
        let tokens: Vec<_> = (0..20).map(|i| TokenSignal { logprob: -(i as f32), entropy: 0.0, margin: 0.0 }).collect();
        assert_eq!(Confidence::of(&tokens, "", "", false).q10_logprob, Some(-18.0));
    }
}
