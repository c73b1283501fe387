//! How long the first token will take on this device.

/// A running estimate from the answers so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstTokenSpeed {
    ms_per_token: Option<f64>,
}

impl FirstTokenSpeed {
    /// Takes a prefill that was measured. The newest one counts half, so that a device that grew hot or idle is soon known as such.
    pub fn measured(&mut self, tokens: usize, ms: f64) {
        if tokens == 0 || !ms.is_finite() || ms < 0.0 {
            return;
        }
        let now = ms / tokens as f64;
        self.ms_per_token = Some(self.ms_per_token.map_or(now, |before| f64::midpoint(before, now)));
    }

    /// A request went elsewhere by this estimate: it counts a tenth less, so that a device that was slow once, while shaders compiled or the
    /// processor was hot, is tried again after a while.
    pub fn believed(&mut self) {
        self.ms_per_token = self.ms_per_token.map(|ms| 0.9 * ms);
    }

    /// The time that `tokens` of a prompt will take; none before anything was measured.
    pub fn predict_ms(&self, tokens: usize) -> Option<f64> {
        self.ms_per_token.map(|ms| ms * tokens as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::FirstTokenSpeed;

    #[test]
    fn the_newest_counts_half() {
        let mut speed = FirstTokenSpeed::default();
        assert_eq!(speed.predict_ms(10), None);
        speed.measured(10, 100.0);
        speed.measured(0, 5.0);
        assert_eq!(speed.predict_ms(5), Some(50.0));
        speed.measured(10, 200.0);
        assert_eq!(speed.predict_ms(1), Some(15.0));
        speed.believed();
        assert_eq!(speed.predict_ms(2), Some(27.0));
    }
}
