//! How kernels are cut into workgroups on a GPU.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Threads of a workgroup that every WebGPU device allows.
const MOST_THREADS: u32 = 256;

/// Sizes that suit a GPU; they change speed, never results beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tuning {
    /// Threads that share the columns of a matrix·vector product; a power of two, at most 64.
    pub matvec_lanes: u32,
    /// Rows of the matrix for a workgroup in a matrix·vector product; a multiple of `matvec_thread_rows`, and at most 256 threads with their lanes.
    pub matvec_rows: u32,
    /// Rows of the matrix for a thread in a matrix·vector product: 1, 2, 4, 8 or 16.
    pub matvec_thread_rows: u32,
    /// Rows of the matrix for a thread in a matrix·matrix product: 1, 2, 4, 8 or 16.
    pub matmul_rows: u32,
    /// Tokens that a thread of a matrix·matrix product computes: 1, 2, 4 or 8.
    pub matmul_tokens: u32,
    /// Bits of each value of the input in a matrix·matrix product with quantised weights: 32, as it is, or 16, rounded to integers with a scale for each
    /// block of 32.
    pub matmul_bits: u32,
    /// Query heads of a workgroup in attention, at most: 1 to 8. They share what is read of their common keys and values.
    pub attention_heads: u32,
    /// Tokens of a workgroup in attention, at most: 1 to 8; cut where they are more than 8 queries with their heads.
    pub attention_tokens: u32,
    /// Workgroups that share the positions which a single token sees: 1 to 8.
    pub attention_splits: u32,
    /// Threads of a workgroup in attention, normalisation and the choice of a token; a power of two, at most 256.
    pub reduce_lanes: u32,
}

impl Tuning {
    /// For hardware where a workgroup barrier is cheap; not measured on any.
    pub const HARDWARE: Self = Self {
        matvec_lanes: 32,
        matvec_rows: 8,
        matvec_thread_rows: 2,
        matmul_rows: 4,
        matmul_tokens: 8,
        matmul_bits: 32,
        attention_heads: 1,
        attention_tokens: 4,
        attention_splits: 1,
        reduce_lanes: 64,
    };
    /// For software adapters, where a barrier and a read cost more than arithmetic: what was measured is in docs/performance.md.
    pub const SOFTWARE: Self = Self {
        matvec_lanes: 1,
        matvec_rows: 32,
        matvec_thread_rows: 8,
        matmul_rows: 16,
        matmul_tokens: 4,
        matmul_bits: 16,
        attention_heads: 8,
        attention_tokens: 2,
        attention_splits: 1,
        reduce_lanes: 4,
    };

    /// Lanes, rows and a thread's rows of a matrix·vector product that are worth a trial, few lanes first.
    pub const MATVEC: [(u32, u32, u32); 8] =
        [(1, 32, 8), (1, 32, 4), (4, 32, 2), (16, 16, 2), (32, 4, 1), (32, 8, 2), (32, 16, 4), (64, 8, 2)];
    /// A thread's rows and tokens in a matrix·matrix product, and the bits of its input, that are worth a trial, small ones first.
    pub const MATMUL: [(u32, u32, u32); 6] = [(2, 4, 32), (4, 4, 32), (4, 8, 32), (8, 8, 32), (8, 8, 16), (16, 4, 16)];
    /// Threads of a workgroup and its heads in attention that are worth a trial, few threads first.
    pub const ATTENTION: [(u32, u32); 8] = [(4, 8), (4, 1), (16, 8), (32, 8), (32, 1), (64, 8), (64, 1), (128, 1)];
    /// Tokens of a workgroup in attention that are worth a trial.
    pub const ATTENTION_TOKENS: [u32; 3] = [1, 2, 4];
    /// Workgroups for the positions of a single token that are worth a trial.
    pub const ATTENTION_SPLITS: [u32; 2] = [1, 8];

    /// The same with other sizes of a matrix·vector product: lanes, rows, a thread's rows.
    #[must_use]
    pub const fn with_matvec(self, (matvec_lanes, matvec_rows, matvec_thread_rows): (u32, u32, u32)) -> Self {
        Self { matvec_lanes, matvec_rows, matvec_thread_rows, ..self }
    }

    /// The same with other sizes of a matrix·matrix product: a thread's rows and tokens, and the bits of its input.
    #[must_use]
    pub const fn with_matmul(self, (matmul_rows, matmul_tokens, matmul_bits): (u32, u32, u32)) -> Self {
        Self { matmul_rows, matmul_tokens, matmul_bits, ..self }
    }

    /// The same with other sizes of attention: threads and heads of a workgroup.
    #[must_use]
    pub const fn with_attention(self, (reduce_lanes, attention_heads): (u32, u32)) -> Self {
        Self { attention_heads, reduce_lanes, ..self }
    }

    /// Tunings in which every size that is worth a trial comes at least once, and the extremes of what is allowed, for tests.
    pub fn variants() -> Vec<Self> {
        let sizes = Self::MATVEC.iter().zip(Self::MATMUL.iter().cycle()).zip(&Self::ATTENTION);
        let of_attention = Self::ATTENTION_TOKENS.iter().cycle().zip(Self::ATTENTION_SPLITS.iter().cycle());
        let variants = sizes.zip(of_attention).map(|(((matvec, matmul), attention), (tokens, splits))| Self {
            attention_tokens: *tokens,
            attention_splits: *splits,
            ..Self::SOFTWARE.with_matvec(*matvec).with_matmul(*matmul).with_attention(*attention)
        });
        let smallest = Self {
            attention_tokens: 1,
            attention_splits: 2,
            ..Self::SOFTWARE.with_matvec((2, 3, 1)).with_matmul((1, 1, 16)).with_attention((1, 1))
        };
        let largest = Self {
            attention_tokens: 8,
            attention_splits: 8,
            ..Self::SOFTWARE.with_matvec((64, 64, 16)).with_matmul((16, 8, 16)).with_attention((256, 8))
        };
        [Self::SOFTWARE, Self::HARDWARE, smallest, largest].into_iter().chain(variants).collect()
    }

    /// The sizes in the order of their fields, as a short text that can be kept.
    pub fn to_text(self) -> String {
        [
            self.matvec_lanes,
            self.matvec_rows,
            self.matvec_thread_rows,
            self.matmul_rows,
            self.matmul_tokens,
            self.matmul_bits,
            self.attention_heads,
            self.attention_tokens,
            self.attention_splits,
            self.reduce_lanes,
        ]
        .map(|size| size.to_string())
        .join(" ")
    }

    /// Reads [`Self::to_text`]; none where a text is none of its own, or a size is none that the kernels have.
    pub fn from_text(text: &str) -> Option<Self> {
        let sizes: Option<Vec<u32>> = text.split(' ').map(|size| size.parse().ok()).collect();
        let [
            lanes,
            rows,
            thread_rows,
            matmul_rows,
            matmul_tokens,
            matmul_bits,
            attention_heads,
            attention_tokens,
            splits,
            reduce_lanes,
        ] = sizes?.try_into().ok()?;
        let tuning = Self {
            matvec_lanes: lanes,
            matvec_rows: rows,
            matvec_thread_rows: thread_rows,
            matmul_rows,
            matmul_tokens,
            matmul_bits,
            attention_heads,
            attention_tokens,
            attention_splits: splits,
            reduce_lanes,
        };
        tuning.validate().is_ok().then_some(tuning)
    }

    /// Fails with `bad-input` where a size is none that the kernels have.
    pub fn validate(&self) -> Result<()> {
        let Self {
            matvec_lanes,
            matvec_rows,
            matvec_thread_rows,
            matmul_rows,
            matmul_tokens,
            matmul_bits,
            attention_heads,
            attention_tokens,
            attention_splits,
            reduce_lanes,
        } = *self;
        let is_power = |size: u32, most: u32| size.is_power_of_two() && size <= most;
        let tiles = matvec_rows.checked_div(matvec_thread_rows).unwrap_or(0);
        let fits =
            tiles > 0 && matvec_rows.is_multiple_of(matvec_thread_rows) && matvec_lanes.saturating_mul(tiles) <= MOST_THREADS;
        let expectations = [
            (is_power(matvec_lanes, 64), "matvecLanes must be a power of two up to 64", matvec_lanes),
            (is_power(matvec_thread_rows, 16), "matvecThreadRows must be a power of two up to 16", matvec_thread_rows),
            (fits, "matvecRows must be a multiple of matvecThreadRows, and at most 256 threads with matvecLanes", matvec_rows),
            (is_power(matmul_rows, 16), "matmulRows must be a power of two up to 16", matmul_rows),
            (is_power(matmul_tokens, 8), "matmulTokens must be a power of two up to 8", matmul_tokens),
            (matches!(matmul_bits, 16 | 32), "matmulBits must be 16 or 32", matmul_bits),
            ((1..=8).contains(&attention_heads), "attentionHeads must be between 1 and 8", attention_heads),
            ((1..=8).contains(&attention_tokens), "attentionTokens must be between 1 and 8", attention_tokens),
            ((1..=8).contains(&attention_splits), "attentionSplits must be between 1 and 8", attention_splits),
            (is_power(reduce_lanes, MOST_THREADS), "reduceLanes must be a power of two up to 256", reduce_lanes),
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
        let has = |holds: &dyn Fn(&Tuning) -> bool| variants.iter().any(holds);
        assert!(Tuning::MATVEC.iter().all(|sizes| has(&|it| it.with_matvec(*sizes) == *it)));
        assert!(Tuning::MATMUL.iter().all(|sizes| has(&|it| it.with_matmul(*sizes) == *it)));
        assert!(Tuning::ATTENTION.iter().all(|sizes| has(&|it| it.with_attention(*sizes) == *it)));
        assert!(Tuning::ATTENTION_TOKENS.iter().all(|tokens| has(&|it| it.attention_tokens == *tokens)));
        assert!(Tuning::ATTENTION_SPLITS.iter().all(|splits| has(&|it| it.attention_splits == *splits)));
    }

    #[test]
    fn sizes_that_no_kernel_has_are_refused() {
        let good = Tuning::HARDWARE;
        for (wrong, told) in [
            (Tuning { matvec_lanes: 0, ..good }, "matvecLanes"),
            (Tuning { matvec_lanes: 24, ..good }, "matvecLanes"),
            (Tuning { matvec_lanes: 128, matvec_rows: 2, ..good }, "matvecLanes"),
            (Tuning { matvec_rows: 0, ..good }, "matvecRows"),
            (Tuning { matvec_rows: 7, ..good }, "matvecRows"),
            (Tuning { matvec_rows: 18, ..good }, "matvecRows"),
            (Tuning { matvec_rows: u32::MAX - 1, ..good }, "matvecRows"),
            (Tuning { matvec_thread_rows: 0, ..good }, "matvecThreadRows"),
            (Tuning { matvec_thread_rows: 3, ..good }, "matvecThreadRows"),
            (Tuning { matmul_rows: 32, ..good }, "matmulRows"),
            (Tuning { matmul_tokens: 16, ..good }, "matmulTokens"),
            (Tuning { matmul_bits: 8, ..good }, "matmulBits"),
            (Tuning { attention_heads: 0, ..good }, "attentionHeads"),
            (Tuning { attention_heads: 9, ..good }, "attentionHeads"),
            (Tuning { attention_tokens: 9, ..good }, "attentionTokens"),
            (Tuning { attention_splits: 0, ..good }, "attentionSplits"),
            (Tuning { attention_splits: 9, ..good }, "attentionSplits"),
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
        assert_eq!(Tuning::SOFTWARE.to_text(), "1 32 8 16 4 16 8 2 1 4");
        for wrong in [
            "",
            "1",
            "1 4 8 4",
            "1 32 8 8 8 8 2 4",
            "1 32 8 8 8 16 8 4 1 4 1",
            "1 32 8 8 8 16 8 4 1 4 ",
            " 1 32 8 8 8 16 8 4 1 4",
            "1 32 8 8 8 16 8 4 1 x",
            "3 32 8 8 8 16 8 4 1 4",
            "1 32 8 8 8 24 8 4 1 4",
            "1 32 8 8 8 16 8 4 1 -4",
        ] {
            assert_eq!(Tuning::from_text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_report_is_flat_and_sizes_are_read_strictly() {
        let report = TuningReport { sizes: Tuning::SOFTWARE, source: TuningSource::Measured };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(
            text,
            r#"{"matvecLanes":1,"matvecRows":32,"matvecThreadRows":8,"matmulRows":16,"matmulTokens":4,"matmulBits":16,"attentionHeads":8,"attentionTokens":2,"attentionSplits":1,"reduceLanes":4,"source":"measured"}"#
        );
        assert!(serde_json::from_str::<Tuning>(&text).is_err());
        assert!(serde_json::from_str::<Tuning>(r#"{"matvecLanes":1}"#).is_err());
    }
}
