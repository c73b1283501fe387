//! Whether a model fits, before any of its weights are fetched.

use eyas_core::{Error, ErrorKind, format_bytes};
use serde::{Deserialize, Serialize};

/// What a model would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryNeed {
    /// Bytes of the weights on the device.
    pub weight_bytes: u64,
    /// Bytes of one session's keys and values for the whole context.
    pub cache_bytes: u64,
    /// Bytes of intermediate results, at most at one time.
    pub scratch_bytes: u64,
    /// Bytes that a load holds besides what it has finished, at most at one time.
    pub staging_bytes: u64,
    /// The largest single buffer.
    pub largest_buffer_bytes: u64,
    /// Bytes of the model's tensors in its files.
    pub download_bytes: u64,
    /// Of these, what is on this device already.
    pub stored_bytes: u64,
}

impl MemoryNeed {
    /// Memory on the device while the model answers.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes + self.cache_bytes + self.scratch_bytes
    }

    /// Memory on the device at most, from the load on. What a load has staged may still be held when the first answer begins: a GPU frees what it was
    /// given only when it has computed with it.
    pub fn peak_bytes(&self) -> u64 {
        self.total_bytes() + self.staging_bytes
    }

    /// What must still be fetched.
    pub fn fetch_bytes(&self) -> u64 {
        self.download_bytes.saturating_sub(self.stored_bytes)
    }
}

/// What there is. What is not known, or not limited, is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MemoryBudget {
    /// The application's bound on the device's memory.
    pub memory_bytes: Option<u64>,
    /// The application's bound on the download.
    pub download_bytes: Option<u64>,
    /// The largest buffer that the adapter binds.
    pub largest_buffer_bytes: Option<u64>,
    /// The machine's memory, as `navigator.deviceMemory` tells it: rounded, and never more than 8 GiB.
    pub device_memory_bytes: Option<u64>,
    /// What the origin may still store, with what would go to make room.
    pub storage_bytes: Option<u64>,
}

/// A bound that is exceeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Excess {
    /// What is bounded: `memoryBytes`, `downloadBytes`, `largestBufferBytes`, `deviceMemoryBytes`, `storageBytes`, or `lastLoadBytes`, see [`Demotion`].
    pub bound: String,
    /// How much there may be.
    pub limit_bytes: u64,
    /// How much there would be.
    pub need_bytes: u64,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, but {} are needed", self.bound, format_bytes(self.limit_bytes), format_bytes(self.need_bytes))
    }
}

/// The bounds that `need` exceeds; none of them means that it fits.
pub fn excesses(need: &MemoryNeed, budget: &MemoryBudget) -> Vec<Excess> {
    let peak = need.peak_bytes();
    let bounds = [
        ("memoryBytes", budget.memory_bytes, peak),
        ("downloadBytes", budget.download_bytes, need.fetch_bytes()),
        ("largestBufferBytes", budget.largest_buffer_bytes, need.largest_buffer_bytes),
        ("deviceMemoryBytes", budget.device_memory_bytes, peak),
        ("storageBytes", budget.storage_bytes, need.fetch_bytes()),
    ];
    let exceeded = bounds.into_iter().filter_map(|(bound, limit, need_bytes)| {
        let limit_bytes = limit.filter(|limit| *limit < need_bytes)?;
        Some(Excess { bound: bound.into(), limit_bytes, need_bytes })
    });
    exceeded.collect()
}

/// The last load of the same model never ended, so a next one should take less.
#[derive(Debug, Clone, PartialEq)]
pub struct Demotion {
    limit_bytes: u64,
    detail: String,
}

impl Demotion {
    /// Of a load that took `need` at most, as far as it came, and would now fail with `error`. A next one should take three quarters of that: what a little
    /// less takes would most likely end the tab too.
    pub fn of(need: &MemoryNeed, error: &Error) -> Self {
        Self { limit_bytes: need.peak_bytes() / 4 * 3, detail: error.detail().to_owned() }
    }

    /// What `need` is above that.
    pub fn excess(&self, need: &MemoryNeed) -> Option<Excess> {
        let need_bytes = need.peak_bytes();
        (need_bytes > self.limit_bytes).then(|| Excess {
            bound: "lastLoadBytes".into(),
            limit_bytes: self.limit_bytes,
            need_bytes,
        })
    }
}

/// A variant of a load and whether it fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// The quantisation.
    pub quantize: String,
    /// Tokens that prompt and answer may take together.
    pub context_tokens: usize,
    /// What it would take.
    pub need: MemoryNeed,
    /// The bounds that it exceeds.
    pub excesses: Vec<Excess>,
}

/// Who would answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answerer {
    /// This device.
    Local,
    /// The cloud, since the device can't and the privacy allows it.
    Cloud,
    /// Nobody.
    Nobody,
}

/// What a load would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryPlan {
    /// As it was asked for.
    pub asked: Variant,
    /// Where that does not fit: the variants that would, the one that gives up least first.
    pub would_fit: Vec<Variant>,
    /// Who would answer.
    pub answerer: Answerer,
    /// What this device's load would fail with; absent where it fits.
    pub code: Option<String>,
    /// The same in words.
    pub detail: String,
}

/// Judges `asked` and, where it does not fit, `others`, which come in the order of preference.
pub fn plan(asked: Variant, others: Vec<Variant>, demotion: Option<&Demotion>, cloud_allowed: bool) -> MemoryPlan {
    if asked.excesses.is_empty() {
        let (total, peak) = (format_bytes(asked.need.total_bytes()), format_bytes(asked.need.peak_bytes()));
        let detail = format!("the model fits: {total} on the device, and {peak} at most while it loads");
        return MemoryPlan { asked, would_fit: Vec::new(), answerer: Answerer::Local, code: None, detail };
    }
    let would_fit: Vec<_> = others.into_iter().filter(|variant| variant.excesses.is_empty()).collect();
    let bounds = asked.excesses.iter().map(|excess| match demotion {
        Some(demotion) if excess.bound == "lastLoadBytes" => demotion.detail.clone(),
        _ => excess.to_string(),
    });
    let bounds = bounds.collect::<Vec<_>>().join("; ");
    let fitting = match would_fit.first() {
        Some(Variant { quantize, context_tokens, need, .. }) => {
            let bytes = format_bytes(need.peak_bytes());
            format!("quantize {quantize:?} with contextTokens {context_tokens} would fit ({bytes})")
        }
        None => "no quantisation or context that Eyas has would fit".to_owned(),
    };
    let (answerer, words) =
        if cloud_allowed { (Answerer::Cloud, "the cloud would answer") } else { (Answerer::Nobody, "nobody would answer") };
    let is_full = asked.excesses.iter().all(|excess| excess.bound == "storageBytes");
    let kind = if is_full { ErrorKind::StorageFull } else { ErrorKind::OverBudget };
    let code = Some(kind.code().to_owned());
    MemoryPlan { asked, would_fit, answerer, code, detail: format!("{bounds}; {words}; {fitting}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(weight_bytes: u64) -> MemoryNeed {
        MemoryNeed {
            weight_bytes,
            cache_bytes: 100,
            scratch_bytes: 10,
            staging_bytes: 50,
            largest_buffer_bytes: weight_bytes / 2,
            download_bytes: 2 * weight_bytes,
            stored_bytes: 0,
        }
    }

    fn variant(quantize: &str, weight_bytes: u64, budget: &MemoryBudget) -> Variant {
        let need = need(weight_bytes);
        Variant { quantize: quantize.into(), context_tokens: 16, excesses: excesses(&need, budget), need }
    }

    #[test]
    fn each_bound_is_named_with_its_figures() {
        let budget = MemoryBudget {
            memory_bytes: Some(1159),
            download_bytes: Some(1999),
            largest_buffer_bytes: Some(499),
            device_memory_bytes: Some(1160),
            storage_bytes: None,
        };
        let found = excesses(&need(1000), &budget);
        let names: Vec<_> = found.iter().map(|excess| excess.bound.as_str()).collect();
        assert_eq!(names, ["memoryBytes", "downloadBytes", "largestBufferBytes"]);
        assert_eq!((found[0].limit_bytes, found[0].need_bytes), (1159, 1160));
        assert!(excesses(&need(1000), &MemoryBudget::default()).is_empty());
    }

    #[test]
    fn what_is_stored_already_takes_no_room_and_no_download() {
        let budget = MemoryBudget { download_bytes: Some(500), storage_bytes: Some(499), ..MemoryBudget::default() };
        let bounds = |stored_bytes| {
            let found = excesses(&MemoryNeed { stored_bytes, ..need(1000) }, &budget);
            found.into_iter().map(|excess| (excess.bound, excess.need_bytes)).collect::<Vec<_>>()
        };
        assert_eq!(bounds(0), [("downloadBytes".to_owned(), 2000), ("storageBytes".to_owned(), 2000)]);
        assert_eq!(bounds(1500), [("storageBytes".to_owned(), 500)]);
        assert!(bounds(1501).is_empty() && bounds(9999).is_empty());
    }

    #[test]
    fn a_full_store_is_another_code_than_a_small_budget() {
        let code = |budget: MemoryBudget| plan(variant("q8", 600, &budget), Vec::new(), None, false).code;
        let full = MemoryBudget { storage_bytes: Some(1), ..MemoryBudget::default() };
        assert_eq!(code(full.clone()).as_deref(), Some("storage-full"));
        assert_eq!(code(MemoryBudget { memory_bytes: Some(1), ..full }).as_deref(), Some("over-budget"));
        assert_eq!(code(MemoryBudget::default()), None);
    }

    #[test]
    fn what_a_load_holds_besides_counts_too() {
        let need = MemoryNeed { staging_bytes: 500, ..need(1000) };
        assert_eq!((need.total_bytes(), need.peak_bytes()), (1110, 1610));
        for bound in [1609, 1610] {
            let budget = MemoryBudget { memory_bytes: Some(bound), ..MemoryBudget::default() };
            assert_eq!(excesses(&need, &budget).first().map(|excess| excess.need_bytes), (bound < 1610).then_some(1610));
        }
    }

    #[test]
    fn the_plan_says_who_answers_and_what_would_fit() {
        let budget = MemoryBudget { memory_bytes: Some(700), ..MemoryBudget::default() };
        let others = || vec![variant("q8", 600, &budget), variant("q4", 300, &budget)];
        let refused = plan(variant("none", 1000, &budget), others(), None, false);
        assert_eq!((refused.answerer, refused.would_fit.len()), (Answerer::Nobody, 1));
        assert!(refused.detail.contains("\"q4\"") && refused.detail.contains("nobody would answer"), "{}", refused.detail);
        assert_eq!(plan(variant("none", 1000, &budget), others(), None, true).answerer, Answerer::Cloud);
        assert_eq!(plan(variant("q4", 300, &budget), Vec::new(), None, false).answerer, Answerer::Local);
    }

    #[test]
    fn after_a_load_that_never_ended_only_what_takes_clearly_less_fits() {
        let budget = MemoryBudget::default();
        let demotion = Demotion::of(&need(1000), &Error::new(ErrorKind::OverBudget, "it never ended"));
        let demoted = |name: &str, bytes: u64| {
            let mut variant = variant(name, bytes, &budget);
            variant.excesses.extend(demotion.excess(&variant.need));
            variant
        };
        let others = vec![demoted("q8", 900), demoted("q4", 700)];
        let planned = plan(demoted("none", 1000), others, Some(&demotion), false);
        assert_eq!((planned.code.as_deref(), planned.answerer), (Some("over-budget"), Answerer::Nobody));
        assert_eq!(planned.would_fit.iter().map(|variant| variant.quantize.as_str()).collect::<Vec<_>>(), ["q4"]);
        assert_eq!(planned.asked.excesses[0].limit_bytes, 870);
        assert!(planned.detail.starts_with("it never ended; nobody would answer; quantize \"q4\""), "{}", planned.detail);
    }
}
