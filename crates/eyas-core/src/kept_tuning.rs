//! What was measured on an adapter, as it is kept for later loads.

use crate::Tuning;

/// What a text begins with. The number changes where kernels change what is fast, or the text its form: what was kept before is then measured anew.
const VERSION: &str = "4: ";

/// Loads that measure an adapter at most, where none of them is clear.
const MOST_UNCLEAR: u32 = 3;

/// The tuning that was measured on an adapter, and how clear that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTuning {
    /// The sizes.
    pub sizes: Tuning,
    /// Measurements so far, none of which was clear: something else took the machine's time meanwhile. 0 where the last one was clear.
    pub unclear: u32,
}

impl KeptTuning {
    /// What another measurement makes of what was kept `before`. It begins with those sizes, and so has left them only for clearly faster ones,
    /// or where the adapter turned out to have no room for shares of positions.
    pub fn measured(before: Option<Self>, sizes: Tuning, is_clear: bool) -> Self {
        let unclear = if is_clear { 0 } else { 1 + before.map_or(0, |before| before.unclear) };
        Self { sizes, unclear }
    }

    /// Whether later loads take it as it is. Others measure again.
    pub fn is_settled(&self) -> bool {
        self.unclear == 0 || self.unclear >= MOST_UNCLEAR
    }

    /// As one line: the version of this, the sizes, and the number of unclear measurements.
    pub fn to_text(&self) -> String {
        format!("{VERSION}{} {}", self.sizes.to_text(), self.unclear)
    }

    /// Reads [`Self::to_text`]; none where a text is none of its own, or of another version.
    pub fn from_text(text: &str) -> Option<Self> {
        let (sizes, unclear) = text.strip_prefix(VERSION)?.rsplit_once(' ')?;
        Some(Self { sizes: Tuning::from_text(sizes)?, unclear: unclear.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unclear_is_measured_by_three_loads_at_most_and_what_is_clear_never_again() {
        let mut kept = None;
        let mut seen = Vec::new();
        for is_clear in [false, false, false] {
            let now = KeptTuning::measured(kept, Tuning::SOFTWARE, is_clear);
            seen.push((now.unclear, now.is_settled()));
            kept = Some(now);
        }
        assert_eq!(seen, [(1, false), (2, false), (3, true)]);
        let clear = KeptTuning::measured(Some(KeptTuning { sizes: Tuning::SOFTWARE, unclear: 2 }), Tuning::HARDWARE, true);
        assert_eq!((clear, clear.is_settled()), (KeptTuning { sizes: Tuning::HARDWARE, unclear: 0 }, true));
    }

    #[test]
    fn what_is_kept_is_read_back_and_nothing_else_is() {
        for unclear in [0, 1, 7] {
            let kept = KeptTuning { sizes: Tuning::SOFTWARE, unclear };
            assert_eq!(KeptTuning::from_text(&kept.to_text()), Some(kept));
        }
        let sizes = Tuning::SOFTWARE.to_text();
        assert_eq!(KeptTuning { sizes: Tuning::SOFTWARE, unclear: 2 }.to_text(), format!("4: {sizes} 2"));
        for unclear in ["", " ", " -1", " x", " 1 1"] {
            let wrong = format!("4: {sizes}{unclear}");
            assert_eq!(KeptTuning::from_text(&wrong), None, "{wrong:?}");
        }
        for wrong in ["", "1", "4: ", "4: 1", &format!("{sizes} 1"), &format!("3: {sizes} 1"), &format!("4:{sizes} 1")] {
            assert_eq!(KeptTuning::from_text(wrong), None, "{wrong:?}");
        }
    }
}
