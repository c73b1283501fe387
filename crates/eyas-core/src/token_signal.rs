//! What a model's own probabilities say about one token of its answer.

use crate::sort_by;

/// The certainty of one generated token, under the unmodified logits. Natural logarithms throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenSignal {
    /// Log-probability of the token that was chosen.
    pub logprob: f32,
    /// Entropy of the whole distribution, in nats.
    pub entropy: f32,
    /// Probability of the most probable token less that of the second; see also [`TokenSignal::margin_among`].
    pub margin: f32,
}

impl TokenSignal {
    /// Reads `logits` `[vocab]` for the token `id`; summed in `f64`.
    pub fn of(logits: &[f32], id: u32) -> Self {
        let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for &logit in logits {
            if logit > first {
                (first, second) = (logit, first);
            } else if logit > second {
                second = logit;
            }
        }
        let (mut sum, mut weighted) = (0.0_f64, 0.0_f64);
        for &logit in logits {
            let below = f64::from(logit - first);
            let weight = below.exp();
            sum += weight;
            if weight > 0.0 {
                weighted += weight * below;
            }
        }
        let log_sum = sum.ln();
        let chosen = logits.get(id as usize).map_or(f64::NEG_INFINITY, |&logit| f64::from(logit - first) - log_sum);
        let margin = (1.0 - f64::from(second - first).exp()) / sum;
        Self { logprob: chosen as f32, entropy: (log_sum - weighted / sum) as f32, margin: margin as f32 }
    }

    /// How clear the choice among labels is: probability of the most probable label less that of the second, where only the labels are to choose from. Each
    /// has the tokens that it may begin with, of which the most probable counts; labels that begin with the same token can't be told apart by it, which is a
    /// margin of 0. Of fewer than two labels, it is 1.
    pub fn margin_among(logits: &[f32], labels: &[Vec<u32>]) -> f32 {
        let logit = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let mut best: Vec<f32> = labels.iter().map(|ids| ids.iter().map(logit).fold(f32::NEG_INFINITY, f32::max)).collect();
        sort_by(&mut best, |a, b| b.total_cmp(a));
        let [first, second, ..] = best[..] else { return 1.0 };
        if !first.is_finite() {
            return 0.0;
        }
        let sum: f64 = best.iter().map(|logit| f64::from(logit - first).exp()).sum();
        ((1.0 - f64::from(second - first).exp()) / sum) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::TokenSignal;

    #[test]
    fn equal_logits_are_as_uncertain_as_can_be() {
        let signal = TokenSignal::of(&[2.0; 4], 1);
        assert!((signal.logprob + 4.0_f32.ln()).abs() < 1e-6 && (signal.entropy - 4.0_f32.ln()).abs() < 1e-6);
        assert!(signal.margin.abs() < 1e-9);
    }

    #[test]
    fn only_labels_count_among_labels() {
        // Probabilities 6, 3 and 1 among labels, whatever else there is.
        let logits = [9.0, 6.0_f32.ln(), 3.0_f32.ln(), 0.0, -5.0];
        let margin =
            |labels: &[&[u32]]| TokenSignal::margin_among(&logits, &labels.iter().map(|ids| ids.to_vec()).collect::<Vec<_>>());
        assert!((margin(&[&[3], &[1], &[2, 4]]) - 0.3).abs() < 1e-6);
        assert!((margin(&[&[4, 1], &[3]]) - 5.0 / 7.0).abs() < 1e-6);
        assert!(margin(&[&[1], &[1, 2], &[3]]).abs() < 1e-9, "the same first token");
        assert!((margin(&[&[1]]) - 1.0).abs() < 1e-9 && margin(&[&[], &[77]]).abs() < 1e-9);
    }

    #[test]
    fn odds_of_three_to_one_by_hand() {
        let signal = TokenSignal::of(&[3.0_f32.ln() + 100.0, 100.0, f32::NEG_INFINITY], 0);
        let entropy = -(0.75_f32 * 0.75_f32.ln() + 0.25 * 0.25_f32.ln());
        assert!((signal.logprob - 0.75_f32.ln()).abs() < 1e-5 && (signal.entropy - entropy).abs() < 1e-5);
        assert!((signal.margin - 0.5).abs() < 1e-5);
    }
}
