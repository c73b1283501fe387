//! Guessing the next tokens from what prompt and answer said before, so that several are computed in one step: prompt lookup decoding (the copying form of
//! "Inference with Reference", arXiv 2304.04487).
//!
//! A guess never decides anything: every token is chosen from logits that were computed for it.

/// Tokens at the end of a sequence that must have come before, at least and at most. Fewer are wrong more often than they pay: a step of four tokens
/// takes about 2.6 times as long as one of a single token, and of eyas-nano's guesses behind three tokens one in four came true.
const LEAST_MATCH: usize = 4;
const LONGEST_MATCH: usize = 6;
/// Tokens of a guess on the CPU while nothing is known: with the token before them a step of four, the products' own step.
pub(crate) const FIRST_GUESS: usize = 3;
/// Tokens without a guess after one of which nothing came true; twice as many each time.
const FIRST_PAUSE: usize = 8;
const LONGEST_PAUSE: usize = 64;

/// Guesses as many tokens as it has paid to guess so far.
#[derive(Debug, Clone)]
pub(crate) struct PromptLookup {
    /// Tokens of a guess at most.
    most: usize,
    /// Tokens of a guess behind one that did not come true wholly.
    first: usize,
    /// Tokens of the next guess.
    length: usize,
    pause: usize,
    /// The sequence's length up to which nothing is guessed.
    resumes_at: usize,
    drafted: usize,
    accepted: usize,
}

impl PromptLookup {
    /// Guesses at most `most` tokens at a time, at first no more than `first`; 0 guesses nothing.
    pub(crate) fn new(most: usize, first: usize) -> Self {
        Self { most, first, length: most.min(first), pause: FIRST_PAUSE, resumes_at: 0, drafted: 0, accepted: 0 }
    }

    /// Tokens that were guessed, and those of them that came true.
    pub(crate) const fn counts(&self) -> (usize, usize) {
        (self.drafted, self.accepted)
    }

    /// What may follow `sequence`, at most `room` tokens: what followed the latest earlier place that ends in the same tokens, over and over where that
    /// is the end itself.
    pub(crate) fn guess(&self, sequence: &[u32], room: usize) -> Vec<u32> {
        if sequence.len() < self.resumes_at {
            return Vec::new();
        }
        let length = self.length.min(room);
        let found = (LEAST_MATCH..=LONGEST_MATCH.min(sequence.len().saturating_sub(1))).rev().find_map(|n| {
            let (before, end) = (&sequence[..sequence.len() - 1], &sequence[sequence.len() - n..]);
            before.windows(n).rposition(|window| window == end).map(|at| at + n)
        });
        found.map_or_else(Vec::new, |at| sequence[at..].iter().copied().cycle().take(length).collect())
    }

    /// Takes note of a guess after which the sequence has `length` tokens: how many tokens were guessed, how many came true, and whether that was enough.
    pub(crate) fn judged(&mut self, drafted: usize, accepted: usize, length: usize, has_paid: bool) {
        self.drafted += drafted;
        self.accepted += accepted;
        if has_paid {
            self.pause = FIRST_PAUSE;
        } else {
            self.resumes_at = length + self.pause;
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        }
        // Steps of four and eight tokens, which the products take whole.
        self.length = if accepted == drafted { 2 * self.length + 1 } else { self.first }.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_what_followed_the_latest_longest_match() {
        let lookup = PromptLookup::new(7, FIRST_GUESS);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4], 9), &[5, 6, 9]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4], 2), &[5, 6]);
        // The later of two; a longer match counts more.
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 8, 8, 1, 2, 3, 4], 9), &[6, 8, 8]);
        assert_eq!(lookup.guess(&[7, 1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 7, 1, 2, 3, 4], 1), &[5]);
        // Three tokens are no match, and nothing follows the end.
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 1, 2, 3], 9), &[0_u32; 0]);
        assert_eq!(lookup.guess(&[], 9), &[0_u32; 0]);
        // A loop goes on.
        assert_eq!(lookup.guess(&[5, 5, 5, 5, 5], 9), &[5, 5, 5]);
        assert_eq!(lookup.guess(&[1, 2, 3, 8, 1, 2, 3, 8], 9), &[1, 2, 3]);
        assert_eq!(PromptLookup::new(0, FIRST_GUESS).guess(&[1, 2, 3, 4, 1, 2, 3, 4], 9), &[0_u32; 0]);
    }

    #[test]
    fn guesses_grow_while_they_come_true_and_pause_when_they_do_not() {
        let mut lookup = PromptLookup::new(7, FIRST_GUESS);
        let sequence: Vec<u32> = (0..50).chain(0..30).collect();
        assert_eq!(lookup.guess(&sequence, 99).len(), 3);
        lookup.judged(3, 3, 80, true);
        assert_eq!(lookup.guess(&sequence, 99).len(), 7);
        lookup.judged(7, 2, 80, true);
        assert_eq!(lookup.guess(&sequence, 99).len(), 3);
        lookup.judged(3, 0, 81, false);
        assert_eq!(lookup.guess(&sequence, 99).len(), 0);
        assert_eq!(lookup.counts(), (13, 5));
        let longer: Vec<u32> = (0..50).chain(0..39).collect();
        assert_eq!(lookup.guess(&longer, 99).len(), 3);
    }
}
