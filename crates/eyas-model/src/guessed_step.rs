//! Guessed tokens on a GPU: a token and those that may follow it, computed in one step, to the same bits as in steps of one.
//!
//! The kernels make every sum of such a step in the order in which a single token's is made. A driver may still compile the same formula otherwise in another
//! kernel, so a decoder first compares both ways, on tokens that it was about to compute, and goes on guessing only where no bit differs.

use std::cell::Cell;

use eyas_core::{Error, ErrorKind, Result};
use eyas_kernels::{Choice, GuessRecording, first_largest, first_not_finite};

use crate::{Decoder, KvCache, attention::Step};

/// What a decoder knows of steps with guesses on its device.
#[derive(Debug, Default)]
pub(crate) struct GuessTrust(Cell<Verdict>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// So many tokens of a step were computed to the same bits as in steps of one.
    Alike(usize),
    /// Some were not, or such a step can't be recorded.
    Different,
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Alike(1)
    }
}

impl GuessTrust {
    /// Whether steps may have guesses.
    fn allows(&self) -> bool {
        self.0.get() != Verdict::Different
    }

    /// Whether the first `tokens` of a step need not be compared any more.
    fn covers(&self, tokens: usize) -> bool {
        matches!(self.0.get(), Verdict::Alike(shown) if tokens <= shown)
    }

    /// Allows no more guesses.
    fn forbid(&self) {
        self.0.set(Verdict::Different);
    }

    /// Takes note of one token's logits in a step of `tokens`, computed both ways.
    fn compare(&self, tokens: usize, of_several: &[f32], of_one: &[f32]) {
        let same = of_several.len() == of_one.len() && of_several.iter().zip(of_one).all(|(a, b)| a.to_bits() == b.to_bits());
        self.0.set(match self.0.get() {
            Verdict::Alike(shown) if same => Verdict::Alike(shown.max(tokens)),
            _ => Verdict::Different,
        });
    }
}

impl Decoder {
    /// Tokens that may be guessed behind one at most; 0 where the device can't choose tokens itself, or was seen to compute guessed ones otherwise.
    pub fn most_guessed(&self) -> usize {
        let can = self.most_in_flight() > 0 && self.guess_trust.allows();
        if can { GuessRecording::TOKENS - 1 } else { 0 }
    }

    /// Whether a step with so many guesses is recorded and compared, so that the next one takes no more than its own time.
    pub fn is_used_to_guesses(&self, cache: &KvCache, guesses: usize) -> bool {
        cache.guess_recording.is_some() && self.guess_trust.covers(1 + guesses)
    }

    /// Computes `id` and `guess` behind it in one step, and returns what the device chooses as [`Decoder::decode_greedy`] does: the tokens of the guess that
    /// come true, and one more, which is not in the cache yet.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed.
    pub async fn decode_guessed(&self, cache: &mut KvCache, id: u32, guess: &[u32]) -> Result<Vec<u32>> {
        let most = self.most_guessed().min(cache.chunk() - 1);
        if guess.is_empty() || guess.len() > most {
            return Err(Error::bad_input(format!(
                "{} guessed tokens were to be computed on this device, which allows 1 to {most}",
                guess.len()
            )));
        }
        let ids = [&[id], guess].concat();
        self.check_step(cache, &ids, ids.len())?;
        self.device().settle().await;
        let position = cache.len();
        cache.written = cache.written.max(position + ids.len());
        if self.record_guesses(cache, id).is_err() {
            // What guesses need found no room. Answers go on without; a device that is lost says so.
            self.guess_trust.forbid();
            return self.decode_greedy(cache, id, 1).await;
        }
        let picked = if self.guess_trust.covers(ids.len()) {
            let recording = cache.guess_recording.as_deref().ok_or_else(not_recorded)?;
            recording.replay_greedy(self.device(), position, id, guess).await?
        } else {
            self.decode_both_ways(cache, &ids).await?
        };
        cache.len += picked.len();
        if !self.guess_trust.allows() {
            cache.guess_recording = None;
        }
        Ok(picked)
    }

    /// Computes `ids` in one step, then each by itself, and compares them. What stays in the cache, and what is chosen, is of the steps of one.
    async fn decode_both_ways(&self, cache: &mut KvCache, ids: &[u32]) -> Result<Vec<u32>> {
        let (position, vocab) = (cache.len(), self.config().vocab_size);
        self.recording(cache, ids[0], Choice::Greedy)?;
        let several = cache.guess_recording.as_deref().ok_or_else(not_recorded)?;
        let rows = several.replay(self.device(), position, ids).await?;
        let single = cache.recordings[Choice::Greedy as usize].as_deref().ok_or_else(not_recorded)?;
        let mut picked: Vec<u32> = Vec::new();
        for (index, (id, row)) in ids.iter().zip(rows.chunks_exact(vocab)).enumerate() {
            let logits = single.replay(self.device(), position + index, *id).await?;
            self.guess_trust.compare(index + 1, row, &logits);
            // Only what follows a token that was itself chosen is an answer.
            if picked.len() == index && picked.last().is_none_or(|last| last == id) {
                if first_not_finite(&logits[..self.choices()]).is_some() {
                    return Err(Error::new(
                        ErrorKind::BadDevice,
                        "a logit is not a finite number; load the model on another device",
                    ));
                }
                picked.push(first_largest(&logits[..self.choices()]) as u32);
            }
        }
        Ok(picked)
    }

    /// Records the cache's step with guesses, where it was not.
    fn record_guesses(&self, cache: &mut KvCache, id: u32) -> Result<()> {
        if cache.guess_recording.is_some() {
            return Ok(());
        }
        let (position, weights) = (cache.len(), cache.weights.clone());
        let (rope_tables, tuning) = (cache.rope_tables.clone(), self.device().tuning());
        let layers = &mut cache.layers;
        let recording = GuessRecording::capture(self.device(), position, id, self.choices(), |words, held| {
            let step = Step { words, rope_tables: rope_tables.clone(), tuning };
            weights.recorded(layers, &step, GuessRecording::TOKENS, held)
        })?;
        cache.guess_recording = Some(Box::new(recording));
        Ok(())
    }
}

fn not_recorded() -> Error {
    Error::internal("the decode step was not recorded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_trusted_as_far_as_they_were_compared_and_never_after_a_difference() {
        let trust = GuessTrust::default();
        assert!(trust.allows() && !trust.covers(2));
        for tokens in 1..=4 {
            trust.compare(tokens, &[1.0, -2.0], &[1.0, -2.0]);
        }
        assert!(trust.allows() && trust.covers(4) && !trust.covers(5));
        // One unit in the last place.
        trust.compare(5, &[1.0, f32::from_bits(0x3f80_0001)], &[1.0, 1.0]);
        assert!(!trust.allows() && !trust.covers(2));
        trust.compare(6, &[1.0], &[1.0]);
        assert!(!trust.allows());
        for (several, one) in [(&[0.0][..], &[-0.0][..]), (&[1.0], &[1.0, 1.0]), (&[], &[1.0])] {
            let trust = GuessTrust::default();
            trust.compare(1, several, one);
            assert!(!trust.allows(), "{several:?} for {one:?}");
        }
    }
}
