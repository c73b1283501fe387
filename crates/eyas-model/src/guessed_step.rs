//! Guessed tokens on a GPU: a token and those that may follow it, computed in one step, to the same bits as in steps of one.
//!
//! The kernels make every sum of such a step in the order in which a single token's is made. A driver may still compile the same formula otherwise in another
//! kernel, so a decoder first compares both ways, on tokens that it was about to compute, and goes on guessing only where no bit differs.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

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

/// A cache's recorded step with guesses, made at the first of them.
#[derive(Default)]
pub(crate) struct GuessStep {
    recording: RefCell<Option<Rc<GuessRecording>>>,
    /// Whether it is kept for what is being computed on the cache.
    is_held: Cell<bool>,
}

impl GuessStep {
    fn recording(&self) -> Option<Rc<GuessRecording>> {
        self.recording.borrow().clone()
    }

    /// Frees the recording.
    pub(crate) fn forget(&self) {
        self.recording.take();
    }
}

/// Which of a decoder's caches has the recorded step with guesses. It keeps all that it computes, and a model's memory is planned with one of them.
#[derive(Default)]
pub(crate) struct GuessHolder(RefCell<Weak<GuessStep>>);

impl GuessHolder {
    /// Whether another cache than that of `step` holds it.
    fn is_held_against(&self, step: &Rc<GuessStep>) -> bool {
        self.0.borrow().upgrade().is_some_and(|holder| holder.is_held.get() && !Rc::ptr_eq(&holder, step))
    }

    /// Makes `step` the one that may be recorded; another one's recording is freed.
    fn pass_to(&self, step: &Rc<GuessStep>) {
        let before = self.0.replace(Rc::downgrade(step)).upgrade();
        if let Some(before) = before.filter(|before| !Rc::ptr_eq(before, step)) {
            before.forget();
        }
    }
}

impl KvCache {
    /// Lets other caches of the decoder have the recorded step with guesses, of which there is one at a time, until this one computes guesses again.
    pub fn release_guesses(&self) {
        self.guess_step.is_held.set(false);
    }
}

impl Decoder {
    /// Tokens that may be guessed behind one of `cache` at most; 0 where the device can't choose tokens itself, or was seen to compute guessed ones otherwise,
    /// or while another cache, which computed guesses, has not called [`KvCache::release_guesses`].
    pub fn most_guessed(&self, cache: &KvCache) -> usize {
        let can = self.most_in_flight() > 0 && self.guess_trust.allows() && !self.guess_holder.is_held_against(&cache.guess_step);
        if can { GuessRecording::TOKENS - 1 } else { 0 }
    }

    /// Whether a step with so many guesses is recorded and compared, so that the next one takes no more than its own time.
    pub fn is_used_to_guesses(&self, cache: &KvCache, guesses: usize) -> bool {
        cache.guess_step.recording().is_some() && self.guess_trust.covers(1 + guesses)
    }

    /// Computes `id` and `guess` behind it in one step, and returns what the device chooses as [`Decoder::decode_greedy`] does: the tokens of the guess that
    /// come true, and one more, which is not in the cache yet.
    ///
    /// Fails with `context-overflow` or `bad-input` before anything is computed.
    pub async fn decode_guessed(&self, cache: &mut KvCache, id: u32, guess: &[u32]) -> Result<Vec<u32>> {
        let most = self.most_guessed(cache).min(cache.chunk() - 1);
        if guess.is_empty() || guess.len() > most {
            return Err(Error::bad_input(format!(
                "{} guessed tokens were to be computed on this device, which allows 1 to {most}",
                guess.len()
            )));
        }
        let ids = [&[id], guess].concat();
        self.check_step(cache, &ids, ids.len())?;
        // Before anything is waited for, so that no other cache takes it meanwhile.
        cache.guess_step.is_held.set(true);
        self.guess_holder.pass_to(&cache.guess_step);
        self.device().settle().await;
        let position = cache.len();
        cache.written = cache.written.max(position + ids.len());
        let Ok(recording) = self.guess_recording(cache, id) else {
            // What guesses need found no room. Answers go on without; a device that is lost says so.
            self.guess_trust.forbid();
            return self.decode_greedy(cache, id, 1).await;
        };
        let picked = if self.guess_trust.covers(ids.len()) {
            recording.replay_greedy(self.device(), position, id, guess).await?
        } else {
            self.decode_both_ways(cache, &recording, &ids).await?
        };
        cache.len += picked.len();
        Ok(picked)
    }

    /// Computes `ids` in one step, then each by itself, and compares them. What stays in the cache, and what is chosen, is of the steps of one.
    async fn decode_both_ways(&self, cache: &mut KvCache, several: &GuessRecording, ids: &[u32]) -> Result<Vec<u32>> {
        let (position, vocab) = (cache.len(), self.config().vocab_size);
        self.recording(cache, ids[0], Choice::Greedy)?;
        let rows = several.replay(self.device(), position, ids).await?;
        let single = cache.recordings[Choice::Greedy as usize].as_deref().ok_or_else(not_recorded)?;
        let mut picked: Vec<u32> = Vec::new();
        for (index, (id, row)) in ids.iter().zip(rows.chunks_exact(vocab)).enumerate() {
            let logits = single.replay(self.device(), position + index, *id).await?;
            self.guess_trust.compare(index + 1, row, &logits);
            if !self.guess_trust.allows() {
                cache.guess_step.forget();
            }
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

    /// The cache's recorded step with guesses, which is made where it was not.
    fn guess_recording(&self, cache: &mut KvCache, id: u32) -> Result<Rc<GuessRecording>> {
        if let Some(recording) = cache.guess_step.recording() {
            return Ok(recording);
        }
        let (position, weights) = (cache.len(), cache.weights.clone());
        let (rope_tables, tuning) = (cache.rope_tables.clone(), self.device().tuning());
        let layers = &mut cache.layers;
        let recording = GuessRecording::capture(self.device(), position, id, self.choices(), |words, held| {
            let step = Step { words, rope_tables: rope_tables.clone(), tuning };
            weights.recorded(layers, &step, GuessRecording::TOKENS, held)
        })?;
        let recording = Rc::new(recording);
        cache.guess_step.recording.replace(Some(recording.clone()));
        Ok(recording)
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
