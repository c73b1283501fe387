//! When a generation reached what.

use eyas_core::Timing;

/// The moments of a generation, by the engine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Statistics {
    started_ms: f64,
    prefilled_ms: f64,
    first_token_ms: f64,
    last_token_ms: f64,
    tokens: usize,
}

impl Statistics {
    /// A generation that starts now.
    pub fn start(now_ms: f64) -> Self {
        Self { started_ms: now_ms, prefilled_ms: now_ms, first_token_ms: now_ms, last_token_ms: now_ms, tokens: 0 }
    }

    /// The prompt was computed.
    pub fn prefilled(&mut self, now_ms: f64) {
        self.prefilled_ms = now_ms;
    }

    /// A token was chosen.
    pub fn token(&mut self, now_ms: f64) {
        if self.tokens == 0 {
            self.first_token_ms = now_ms;
        }
        self.last_token_ms = now_ms;
        self.tokens += 1;
    }

    /// The times between the moments.
    pub fn timing(&self) -> Timing {
        let decode_ms = self.last_token_ms - self.first_token_ms;
        let after_first = self.tokens.saturating_sub(1) as f64;
        Timing {
            prefill_ms: self.prefilled_ms - self.started_ms,
            first_token_ms: self.first_token_ms - self.started_ms,
            decode_ms,
            tokens_per_second: if decode_ms > 0.0 { after_first * 1000.0 / decode_ms } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_counts_the_tokens_after_the_first() {
        let mut statistics = Statistics::start(100.0);
        statistics.prefilled(150.0);
        for now_ms in [160.0, 360.0, 660.0] {
            statistics.token(now_ms);
        }
        let timing = statistics.timing();
        assert_eq!((timing.prefill_ms, timing.first_token_ms, timing.decode_ms), (50.0, 60.0, 500.0));
        assert_eq!(timing.tokens_per_second, 4.0);
    }

    #[test]
    fn a_single_token_has_no_speed() {
        let mut statistics = Statistics::start(0.0);
        statistics.token(5.0);
        assert_eq!(statistics.timing().tokens_per_second, 0.0);
    }
}
