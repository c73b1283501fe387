//! Whether guessed tokens pay on a device that chooses tokens itself.

use std::{cell::Cell, rc::Rc};

/// Tokens of guesses, one behind the other, that the device must have chosen before a guess is computed: until then it chooses as without guesses, and a
/// guess that is wrong costs nothing.
const LEAST_CONFIRMED: usize = 3;

/// Part of what a step with guesses took that is kept where a guess was left out for it. What is too long for a guess is not measured again, and something
/// else may have made it so long: some such answers later a guess is tried again.
const FADING: f64 = 0.9;

/// What a step with guesses takes of a model, measured by its answers.
pub(crate) type GuessCost = Rc<Cell<Option<f64>>>;

/// What an answer's guesses have brought so far, and what they cost, measured.
#[derive(Debug)]
pub(crate) struct DeviceGuesses {
    /// Tokens of the latest guesses that came true without being computed as guesses.
    confirmed: usize,
    /// What a step with guesses takes.
    step_ms: Option<f64>,
    /// Whether this answer measured that.
    is_own: bool,
    /// What the next answer begins with.
    kept: GuessCost,
}

impl DeviceGuesses {
    /// Of an answer that begins, with what those before it measured.
    pub(crate) fn new(kept: &GuessCost) -> Self {
        Self { confirmed: 0, step_ms: kept.get(), is_own: false, kept: kept.clone() }
    }

    /// Whether to compute a guess of so many tokens where a token takes so long without. Where only an earlier answer's measured time speaks against it, the next
    /// answer begins with a part of that time.
    pub(crate) fn is_worth(&self, guessed: usize, token_ms: Option<f64>) -> bool {
        let has_cause = guessed > 0 && self.confirmed >= LEAST_CONFIRMED && token_ms.is_some();
        let could_pay = self.cost(token_ms).is_none_or(|cost| cost < (1 + guessed) as f64);
        if has_cause && !could_pay && !self.is_own {
            self.kept.set(self.step_ms.map(|ms| FADING * ms));
        }
        has_cause && could_pay
    }

    /// Takes note of what the device chose where `guess` was expected.
    pub(crate) fn compared(&mut self, guess: &[u32], picked: &[u32]) {
        let both = guess.len().min(picked.len());
        if both > 0 {
            self.confirmed = if guess[..both] == picked[..both] { self.confirmed + both } else { 0 };
        }
    }

    /// Takes note of what a step with guesses took.
    pub(crate) fn measured(&mut self, step_ms: f64) {
        // What was kept may have faded: the first of an answer's own takes its place.
        let before = self.step_ms.filter(|_| self.is_own);
        self.step_ms = Some(before.map_or(step_ms, |before| f64::midpoint(before, step_ms)));
        self.is_own = true;
        self.kept.set(self.step_ms);
    }

    /// Whether a guess paid of which so many tokens came true. After one that did not, the next is waited for as the first was.
    pub(crate) fn has_paid(&mut self, came_true: usize, token_ms: Option<f64>) -> bool {
        let has_paid = came_true > 0 && self.cost(token_ms).is_none_or(|cost| cost <= (1 + came_true) as f64);
        if !has_paid {
            self.confirmed = 0;
        }
        has_paid
    }

    /// Tokens that would take as long as a step with guesses.
    fn cost(&self, token_ms: Option<f64>) -> Option<f64> {
        Some(self.step_ms? / token_ms?.max(1e-3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_computed_where_others_came_true_and_a_step_costs_less_than_its_tokens() {
        let mut guesses = DeviceGuesses::new(&GuessCost::default());
        let token = Some(10.0);
        assert!(!guesses.is_worth(7, token));
        guesses.compared(&[1, 2, 3, 4], &[1, 2]);
        guesses.compared(&[], &[9]);
        assert!(!guesses.is_worth(7, token));
        guesses.compared(&[3], &[3, 4, 5]);
        assert!(guesses.is_worth(7, token) && !guesses.is_worth(0, token) && !guesses.is_worth(7, None));
        // What is not measured yet pays where anything came true.
        assert!(guesses.has_paid(1, token) && guesses.is_worth(7, token));
        guesses.measured(30.0);
        assert!(guesses.has_paid(2, token) && guesses.is_worth(3, token) && !guesses.is_worth(2, token));
        assert!(!guesses.has_paid(1, token) && !guesses.is_worth(7, token));
        guesses.compared(&[1, 2, 3], &[1, 2, 3]);
        assert!(guesses.is_worth(7, token));
        guesses.compared(&[1, 2, 3], &[1, 9, 3]);
        assert!(!guesses.is_worth(7, token));
        guesses.compared(&[1, 2, 3], &[1, 2, 3]);
        // One that takes longer than all its tokens never pays.
        guesses.measured(1000.0);
        assert!(!guesses.is_worth(7, token));
    }

    #[test]
    fn an_answer_begins_with_what_a_step_took_before_and_tries_again_some_answers_later() {
        let kept = GuessCost::default();
        let is_worth = |guesses: &mut DeviceGuesses| {
            guesses.compared(&[1, 2, 3], &[1, 2, 3]);
            guesses.is_worth(7, Some(10.0))
        };
        let mut first = DeviceGuesses::new(&kept);
        assert!(is_worth(&mut first));
        first.measured(100.0);
        assert!(!is_worth(&mut first));
        // Answers that had nothing to guess leave it as it is.
        for _ in 0..40 {
            assert!(!DeviceGuesses::new(&kept).is_worth(7, Some(10.0)));
        }
        // A tenth less each time: 100, 90, 81, 73 for eight tokens in 80.
        let tried: Vec<bool> = (0..4).map(|_| is_worth(&mut DeviceGuesses::new(&kept))).collect();
        assert_eq!(tried, [false, false, false, true]);
        DeviceGuesses::new(&kept).measured(30.0);
        let mut last = DeviceGuesses::new(&kept);
        assert!(is_worth(&mut last) && last.has_paid(4, Some(10.0)));
    }
}
