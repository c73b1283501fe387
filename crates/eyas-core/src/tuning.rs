//! How kernels are cut into workgroups on a GPU.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Threads of a workgroup that every WebGPU device allows.
const MOST_THREADS: u32 = 256;

/// Sizes that suit a GPU; they change speed, never results beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tuning {
    /// Threads that share one output row of a matrix·vector product; a power of two, at most 64.
    pub matvec_lanes: u32,
    /// Output rows of a workgroup in a matrix·vector product; with their lanes at most 256 threads.
    pub matvec_rows: u32,
    /// Tokens that a thread of a matrix·matrix product computes for its row: 1, 2, 4 or 8.
    pub matmul_tokens: u32,
    /// Threads of a workgroup in attention, normalisation and the choice of a token; a power of two, at most 256.
    pub reduce_lanes: u32,
}

impl Tuning {
    /// For hardware where a workgroup barrier is cheap.
    pub const HARDWARE: Self = Self { matvec_lanes: 32, matvec_rows: 2, matmul_tokens: 8, reduce_lanes: 64 };
    /// For software adapters, where a barrier costs more than the arithmetic it saves (17.5 ms against 2.1 ms for a 576×576 product).
    pub const SOFTWARE: Self = Self { matvec_lanes: 1, matvec_rows: 4, matmul_tokens: 8, reduce_lanes: 4 };

    /// Lanes and rows of a matrix·vector product that are worth a trial, few lanes first.
    pub const MATVEC: [(u32, u32); 8] = [(1, 4), (1, 32), (4, 16), (8, 8), (16, 4), (32, 2), (32, 4), (64, 2)];
    /// Tokens of a thread in a matrix·matrix product that are worth a trial.
    pub const MATMUL_TOKENS: [u32; 3] = [2, 4, 8];
    /// Threads of a reduction that are worth a trial, few first.
    pub const REDUCE_LANES: [u32; 5] = [4, 16, 32, 64, 128];

    /// Tunings in which every size that is worth a trial comes at least once, and the extremes of what is allowed, for tests.
    pub fn variants() -> Vec<Self> {
        let sizes = Self::MATVEC.iter().zip(Self::MATMUL_TOKENS.iter().cycle()).zip(Self::REDUCE_LANES.iter().cycle());
        let variants = sizes.map(|(((matvec_lanes, matvec_rows), matmul_tokens), reduce_lanes)| Self {
            matvec_lanes: *matvec_lanes,
            matvec_rows: *matvec_rows,
            matmul_tokens: *matmul_tokens,
            reduce_lanes: *reduce_lanes,
        });
        let smallest = Self { matvec_lanes: 2, matvec_rows: 3, matmul_tokens: 1, reduce_lanes: 1 };
        let largest = Self { matvec_lanes: 64, matvec_rows: 4, matmul_tokens: 8, reduce_lanes: 256 };
        [Self::SOFTWARE, Self::HARDWARE, smallest, largest].into_iter().chain(variants).collect()
    }

    /// The sizes in the order of their fields, as a short text that can be kept.
    pub fn to_text(self) -> String {
        let Self { matvec_lanes, matvec_rows, matmul_tokens, reduce_lanes } = self;
        format!("{matvec_lanes} {matvec_rows} {matmul_tokens} {reduce_lanes}")
    }

    /// Reads [`Self::to_text`]; none where a text is none of its own, or a size is none that the kernels have.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut sizes = text.split(' ').map(|size| size.parse().ok());
        let mut next = || sizes.next().flatten();
        let tuning = Self { matvec_lanes: next()?, matvec_rows: next()?, matmul_tokens: next()?, reduce_lanes: next()? };
        (sizes.next().is_none() && tuning.validate().is_ok()).then_some(tuning)
    }

    /// Fails with `bad-input` where a size is none that the kernels have.
    pub fn validate(&self) -> Result<()> {
        let Self { matvec_lanes, matvec_rows, matmul_tokens, reduce_lanes } = *self;
        let threads = matvec_lanes.saturating_mul(matvec_rows);
        let expectations = [
            (matvec_lanes.is_power_of_two() && matvec_lanes <= 64, "matvecLanes must be a power of two up to 64", matvec_lanes),
            (matvec_rows > 0 && threads <= MOST_THREADS, "matvecRows times matvecLanes must be between 1 and 256", matvec_rows),
            (matmul_tokens.is_power_of_two() && matmul_tokens <= 8, "matmulTokens must be 1, 2, 4 or 8", matmul_tokens),
            (
                reduce_lanes.is_power_of_two() && reduce_lanes <= MOST_THREADS,
                "reduceLanes must be a power of two up to 256",
                reduce_lanes,
            ),
        ];
        match expectations.into_iter().find(|(holds, _, _)| !holds) {
            None => Ok(()),
            Some((_, expected, found)) => Err(Error::bad_input(format!("tuning: {expected}, found {found}"))),
        }
    }
}

/// Where a tuning is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TuningSource {
    /// The load asked for it.
    Given,
    /// This load measured it on the adapter.
    Measured,
    /// An earlier load measured it on this adapter.
    Stored,
    /// Taken from whether the adapter computes in software, because nothing was measured.
    Assumed,
}

/// The sizes in use on a GPU, and where they are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningReport {
    /// The sizes.
    #[serde(flatten)]
    pub sizes: Tuning,
    /// Where they are from.
    pub source: TuningSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_every_size_and_are_valid() {
        let variants = Tuning::variants();
        for variant in &variants {
            variant.validate().unwrap();
        }
        assert!(Tuning::MATVEC.iter().all(|sizes| variants.iter().any(|it| (it.matvec_lanes, it.matvec_rows) == *sizes)));
        assert!(Tuning::MATMUL_TOKENS.iter().all(|tokens| variants.iter().any(|it| it.matmul_tokens == *tokens)));
        assert!(Tuning::REDUCE_LANES.iter().all(|lanes| variants.iter().any(|it| it.reduce_lanes == *lanes)));
    }

    #[test]
    fn sizes_that_no_kernel_has_are_refused() {
        let good = Tuning::HARDWARE;
        for (wrong, told) in [
            (Tuning { matvec_lanes: 0, ..good }, "matvecLanes"),
            (Tuning { matvec_lanes: 24, ..good }, "matvecLanes"),
            (Tuning { matvec_lanes: 128, matvec_rows: 1, ..good }, "matvecLanes"),
            (Tuning { matvec_rows: 0, ..good }, "matvecRows"),
            (Tuning { matvec_rows: 9, ..good }, "matvecRows"),
            (Tuning { matvec_rows: u32::MAX, ..good }, "matvecRows"),
            (Tuning { matmul_tokens: 16, ..good }, "matmulTokens"),
            (Tuning { reduce_lanes: 512, ..good }, "reduceLanes"),
            (Tuning { reduce_lanes: 3, ..good }, "reduceLanes"),
        ] {
            let error = wrong.validate().unwrap_err();
            assert!(error.code() == "bad-input" && error.detail().contains(told), "{error}");
        }
    }

    #[test]
    fn a_text_is_read_strictly() {
        for tuning in Tuning::variants() {
            assert_eq!(Tuning::from_text(&tuning.to_text()), Some(tuning));
        }
        assert_eq!(Tuning::SOFTWARE.to_text(), "1 4 8 4");
        for wrong in
            ["", "1", "1 4 8", "1 4 8 4 1", "1 4 8 4 ", " 1 4 8 4", "1 4 8 x", "3 4 8 4", "1 4 8 -4", "1 4 8 99999999999"]
        {
            assert_eq!(Tuning::from_text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_report_is_flat_and_sizes_are_read_strictly() {
        let report = TuningReport { sizes: Tuning::SOFTWARE, source: TuningSource::Measured };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(text, r#"{"matvecLanes":1,"matvecRows":4,"matmulTokens":8,"reduceLanes":4,"source":"measured"}"#);
        assert!(serde_json::from_str::<Tuning>(&text).is_err());
        assert!(serde_json::from_str::<Tuning>(r#"{"matvecLanes":1}"#).is_err());
    }
}
