//! Whether what an answer says of itself is what the simulated world did.

use eyas_core::{Error, ErrorKind, Tier};
use eyas_tier::{Calibrated, Privacy, Reason, Saving, TierCompletion};

use crate::lab::{FakeDevice, Phase};

/// What one request to the server comes to by itself.
#[derive(Debug, Clone)]
pub struct Served {
    /// The codes that it may end with; none where it is a complete answer.
    pub codes: &'static [&'static str],
    /// Its text.
    pub text: String,
    /// Whether another attempt is worth it.
    pub is_worth_another: bool,
    /// Whether a status comes back.
    pub answers: bool,
}

impl Served {
    pub fn answer(text: &str) -> Self {
        Self { codes: &[], text: text.into(), is_worth_another: false, answers: true }
    }

    pub fn failure(codes: &'static [&'static str], is_worth_another: bool) -> Self {
        Self { codes, text: String::new(), is_worth_another, answers: true }
    }

    /// No status comes back.
    pub fn silence(codes: &'static [&'static str]) -> Self {
        Self { codes, text: String::new(), is_worth_another: true, answers: false }
    }
}

/// Why the cloud is closed to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Closed {
    LocalOnly,
    NoCloud,
    Tainted,
    Option,
}

impl Closed {
    fn reason(self) -> (Reason, &'static str) {
        match self {
            Self::LocalOnly => (Reason::MayNot, "the privacy is local-only"),
            Self::NoCloud => (Reason::MayNot, "configured no cloud"),
            Self::Tainted => (Reason::MayNot, "what a local-only request said"),
            Self::Option => (Reason::CanNot, "the option topK"),
        }
    }
}

/// What happened to one request.
pub struct Happening<'a> {
    pub strictest: Privacy,
    pub closed: Option<Closed>,
    /// The history has what a refused request said, which may count as kept.
    pub may_be_closed: bool,
    pub saving: Saving,
    pub has_budget: bool,
    pub is_calibrated: bool,
    pub device: &'a FakeDevice,
    /// What became of each request that was handed to the network.
    pub served: &'a [Served],
    pub took_ms: f64,
}

impl Happening<'_> {
    fn has_model(&self) -> bool {
        !matches!(self.device.fails, Some((Phase::Load, _)))
    }

    fn saves_data(&self) -> bool {
        self.saving.data && self.has_model()
    }

    /// Whether a cloud call that ended with the last of these requests could end with `code`.
    fn cloud_ends_with(&self, code: &str) -> bool {
        let Some(last) = self.served.last() else { return false };
        let is_empty_answer = last.codes.is_empty() && last.text.is_empty();
        last.codes.contains(&code)
            || (is_empty_answer && code == "cloud-refused")
            // No time was left for it.
            || (code == "cloud-timeout" && self.took_ms >= 19_000.0)
    }

    fn retries_are_worth_it(&self) -> bool {
        let (_, before) = self.served.split_last().unwrap();
        before.iter().all(|served| served.is_worth_another && served.text.is_empty())
    }
}

/// An answer's tier, reason, detail and attempts follow from what happened.
pub fn explain_answer(happening: &Happening<'_>, completion: &TierCompletion, context: &str) {
    let provenance = &completion.provenance;
    let (reason, detail) = (provenance.reason, provenance.detail.as_str());
    let calls = happening.served.len() as u32;
    assert!(happening.closed.is_none() || calls == 0, "the cloud was closed: {context}");
    assert!(happening.served.is_empty() || happening.retries_are_worth_it(), "{context}");
    match provenance.tier {
        Tier::Cloud => {
            let last = happening.served.last().expect("an answer of the cloud without a request");
            assert!(last.codes.is_empty() && completion.text.ends_with(&last.text), "{context}");
            let runs = provenance.attempts - calls;
            match (reason, happening.device.fails) {
                (Reason::MayNot, _) => {
                    assert!(happening.strictest == Privacy::PreferCloud && detail.contains("prefer-cloud"), "{context}");
                    assert_eq!((runs, provenance.local_error), (0, None), "{context}");
                }
                (Reason::ShouldNot, _) if detail.contains("battery") => {
                    assert!(happening.saving.battery && runs == 0, "{context}");
                }
                (Reason::ShouldNot, _) if detail.contains("firstTokenMs") => {
                    assert!(happening.has_budget && runs == 1, "{context}");
                }
                (Reason::ShouldNot, fails) => {
                    assert!(
                        detail.contains("confidence") && happening.is_calibrated && fails.is_none() && runs == 1,
                        "{context}"
                    );
                    assert!(provenance.confidence.unwrap() < provenance.threshold.unwrap(), "{context}");
                    assert!((provenance.confidence.unwrap() - f64::from(happening.device.logprob)).abs() < 1e-6, "{context}");
                }
                (Reason::CanNot, Some((phase, kind))) => {
                    assert!(detail.starts_with(kind.code()) && provenance.local_error == Some(kind.code()), "{context}");
                    assert_eq!(runs, u32::from(phase != Phase::Load), "{context}");
                }
                (Reason::CanNot, None) => panic!("nothing failed: {context}"),
            }
            assert_eq!(provenance.local_error.is_some(), reason == Reason::CanNot, "{context}");
        }
        Tier::Local => {
            assert_eq!((happening.device.fails, &completion.text), (None, &happening.device.words.concat()), "{context}");
            assert_eq!((provenance.attempts, provenance.local_error), (calls + 1, None), "{context}");
            let is_doubted = happening.is_calibrated && happening.device.logprob < -1.0;
            assert_eq!(provenance.calibration == Calibrated::Calibrated, happening.is_calibrated, "{context}");
            if calls > 0 {
                let code = detail.split(':').next().unwrap();
                assert!(reason == Reason::CanNot && happening.cloud_ends_with(code), "{code}: {context}");
                return;
            }
            let tainted = Closed::Tainted.reason();
            let is_kept = happening.may_be_closed && reason == tainted.0 && detail.contains(tainted.1);
            match happening.closed.map(Closed::reason) {
                _ if is_kept => {}
                Some((expected, words)) => assert!(reason == expected && detail.contains(words), "{context}"),
                None if happening.saves_data() => {
                    assert!(reason == Reason::ShouldNot && detail.contains("saves data"), "{context}");
                }
                None => {
                    assert!(reason == Reason::MayNot && detail.contains("prefer-local") && !is_doubted, "{context}");
                    assert!(happening.strictest == Privacy::PreferLocal && !happening.saving.battery, "{context}");
                }
            }
        }
    }
}

/// A failure's code is the device's or the cloud's own, and the other one could not, or may not, help.
pub fn explain_failure(happening: &Happening<'_>, error: &Error, shown: &str, context: &str) {
    let code = error.code();
    let device = happening.device.fails.map(|(phase, kind)| {
        let is_local_only = happening.strictest == Privacy::LocalOnly && phase == Phase::Load;
        if is_local_only { "local-only" } else { kind.code() }
    });
    let is_request_at_fault = matches!(happening.device.fails, Some((_, ErrorKind::BadInput | ErrorKind::Aborted)));
    let Some(last) = happening.served.last() else {
        assert_eq!(Some(code), device, "{context}");
        let is_closed = happening.closed.is_some() || happening.may_be_closed || happening.saves_data();
        assert!(is_closed || is_request_at_fault, "the cloud could have helped: {context}");
        return;
    };
    assert!(happening.closed.is_none() && happening.retries_are_worth_it(), "{context}");
    assert!(!last.codes.is_empty() || last.text.is_empty() || happening.took_ms >= 19_000.0, "the cloud answered: {context}");
    if happening.cloud_ends_with(code) {
        let cloud_was_seen = !last.text.is_empty() && shown.ends_with(&last.text);
        assert!(cloud_was_seen || device.is_some(), "the device could have helped: {context}");
    } else {
        assert_eq!(Some(code), device, "{context}");
    }
}
