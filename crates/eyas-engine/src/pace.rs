//! How many tokens may be in flight on a device before the host reads them.

/// Tokens come at least this often to whoever reads along.
const FRAME_MS: f64 = 33.0;
/// Tokens in flight at most: a stop then costs no more than these.
const MOST: f64 = 8.0;

/// The time that a token takes, measured. A device that answers quickly spends much of it on the way to the host and back, which tokens in flight
/// share; one that takes longer than a frame for a token has nothing to gain, and would only stutter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    token_ms: Option<f64>,
}

impl Pace {
    /// Takes note of a token's time.
    pub(crate) fn measured(&mut self, token_ms: f64) {
        self.token_ms = Some(token_ms);
    }

    /// What a token took at last.
    #[cfg(feature = "gpu")]
    pub(crate) fn token_ms(&self) -> Option<f64> {
        self.token_ms
    }

    /// As many as fit into a frame; one before anything was measured.
    pub(crate) fn tokens_in_flight(&self) -> usize {
        self.token_ms.map_or(1, |token_ms| (FRAME_MS / token_ms.max(1e-3)).clamp(1.0, MOST) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn tokens_in_flight_fill_a_frame_and_no_more() {
        let mut pace = Pace::default();
        assert_eq!(pace.tokens_in_flight(), 1);
        for (token_ms, expected) in [(100.0, 1), (20.0, 1), (10.0, 3), (0.5, 8), (0.0, 8)] {
            pace.measured(token_ms);
            assert_eq!(pace.tokens_in_flight(), expected, "{token_ms} ms");
        }
    }
}
