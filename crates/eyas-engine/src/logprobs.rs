//! Log-probabilities under the unmodified logits.

/// `log softmax` of logits: `x_id - max - ln Σ exp(x - max)`, summed in f64.
#[derive(Debug, Clone, Copy)]
pub struct LogSoftmax<'a> {
    logits: &'a [f32], // [vocab]
    max: f32,
    log_sum: f64,
}

impl<'a> LogSoftmax<'a> {
    /// Sums up `logits` `[vocab]`.
    pub fn new(logits: &'a [f32]) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        Self { logits, max, log_sum: sum.ln() }
    }

    /// The log-probability of a token.
    pub fn of(&self, id: u32) -> f32 {
        self.logits.get(id as usize).map_or(f32::NEG_INFINITY, |&logit| (f64::from(logit - self.max) - self.log_sum) as f32)
    }
}

/// The ids of the `count` largest logits, the largest first; the lower id comes first among equals.
pub fn largest(logits: &[f32], count: usize) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if count < ids.len() {
        ids.select_nth_unstable_by(count, by_logit);
        ids.truncate(count);
    }
    ids.sort_unstable_by(by_logit);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_share_the_probability() {
        let third = LogSoftmax::new(&[2.0, 2.0, 2.0]).of(1);
        assert!((third - (1.0_f32 / 3.0).ln()).abs() < 1e-7);
    }

    #[test]
    fn probabilities_sum_to_one_even_for_large_logits() {
        let logits = [1000.0, 999.0, 1001.5, -1000.0];
        let log_softmax = LogSoftmax::new(&logits);
        let sum: f32 = (0..4).map(|id| log_softmax.of(id).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_largest_come_in_order_and_ties_by_id() {
        assert_eq!(largest(&[1.0, 3.0, 3.0, 2.0, 0.0], 3), [1, 2, 3]);
        assert_eq!(largest(&[1.0, 2.0], 20), [1, 0]);
        assert!(largest(&[1.0], 0).is_empty());
    }
}
