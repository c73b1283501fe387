//! Whether a device computes a model as it should, before anything relies on it.
//!
//! Some GPU drivers compute wrong values, some only in a pipeline's first run, some only for large matrices; and what is uploaded may arrive
//! damaged. So a few fixed tokens are computed twice with the model that was just loaded, and must come out the same to the last bit. Then they are
//! computed with its first layer alone, and every kernel's output is compared with the plain reference, which reads the weights back from the GPU. What
//! was uploaded of the whole model was compared with what was sent while loading ([`eyas_kernels::Uploads`]).

use eyas_core::{CancelToken, Error, ErrorKind, Result};
use eyas_kernels::audit;
use eyas_weights::unpack_rows;

use crate::{Decoder, Encoder, KvCache, LogitsOf};

/// Tokens that are computed.
const TOKENS: usize = 4;

impl Decoder {
    /// Lets a GPU compute a few tokens on an empty cache of this decoder: as a chunk, and the last of them alone, as answers are. Every pipeline exists
    /// afterwards. On a CPU nothing is computed.
    ///
    /// # Errors
    ///
    /// `bad-device` where it computes other values the second time, or the first layer's are not those of the reference.
    pub async fn try_device(&self, cache: &mut KvCache, cancel: &CancelToken) -> Result<()> {
        if !self.device().is_gpu() {
            return Ok(());
        }
        let ids = fixed_ids(self.config().vocab_size);
        let chunk = chunk(cache.chunk(), cache.capacity());
        let steps = [(0, &ids[..chunk]), (chunk, &ids[chunk..=chunk])];
        let steps = steps.into_iter().filter(|(_, ids)| !ids.is_empty());
        let mut runs = [Vec::new(), Vec::new()];
        for run in &mut runs {
            cache.truncate(0);
            self.prepare(cache, chunk + 1);
            for (_, ids) in steps.clone() {
                run.extend(self.forward(cache, ids, LogitsOf::Last).await?);
                cancel.check()?;
            }
        }
        check_repetition(&runs)?;
        for (position, ids) in steps {
            let positions = position..position + ids.len();
            Box::pin(audit(self.device(), positions, unpack_rows, || self.first_layer(cache, position, ids))).await?;
            cancel.check()?;
        }
        cache.truncate(0);
        Ok(())
    }
}

impl Encoder {
    /// Lets a GPU compute a short text; see [`Decoder::try_device`].
    ///
    /// # Errors
    ///
    /// `bad-device` where it computes other values the second time, or those of the first layer, the head and the projections are not the reference's.
    pub async fn try_device(&self, cancel: &CancelToken) -> Result<()> {
        if !self.device().is_gpu() {
            return Ok(());
        }
        let ids = fixed_ids(self.config().vocab_size);
        let ids = &ids[..text(self.max_tokens())];
        let runs = [self.states(ids).await?, self.states(ids).await?];
        check_repetition(&runs)?;
        cancel.check()?;
        Box::pin(audit(self.device(), 0..ids.len(), unpack_rows, || self.first_layer(ids))).await
    }
}

/// Tokens that are computed at once on a cache of `context` tokens, of which a step takes at most `chunk`.
pub(crate) fn chunk(chunk: usize, context: usize) -> usize {
    (TOKENS - 1).min(chunk).min(context - 1)
}

/// Tokens of the text that is computed where texts have at most `max_tokens`.
pub(crate) fn text(max_tokens: usize) -> usize {
    TOKENS.min(max_tokens)
}

/// Ids from all over the vocabulary.
fn fixed_ids(vocab_size: usize) -> [u32; TOKENS] {
    std::array::from_fn(|index| (vocab_size * (2 * index + 1) / (2 * TOKENS)) as u32)
}

/// Fails where two runs differ in a bit. Values that are no numbers are the model's own.
fn check_repetition([first, second]: &[Vec<f32>; 2]) -> Result<()> {
    let differs = |(first, second): (&f32, &f32)| first.to_bits() != second.to_bits() && !(first.is_nan() && second.is_nan());
    match first.iter().zip(second).position(differs) {
        None => Ok(()),
        Some(index) => Err(Error::new(
            ErrorKind::BadDevice,
            format!(
                "this device computes wrong values: the same tokens gave {} the first time and {} the second; use the CPU, or another \
                 browser or driver",
                first[index], second[index]
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_one_bit_is_told() {
        let run = vec![1.0, f32::NAN, -0.5];
        assert!(check_repetition(&[run.clone(), run.clone()]).is_ok());
        for (index, other) in [(0, 1.0 + f32::EPSILON), (1, 0.0), (2, f32::NAN)] {
            let mut second = run.clone();
            second[index] = other;
            assert_eq!(check_repetition(&[run.clone(), second]).unwrap_err().code(), "bad-device", "{other} at {index}");
        }
    }

    #[test]
    fn ids_are_in_the_vocabulary() {
        assert_eq!(fixed_ids(8), [1, 3, 5, 7]);
        assert_eq!(fixed_ids(1), [0; TOKENS]);
        assert_eq!(fixed_ids(151_936), [18_992, 56_976, 94_960, 132_944]);
    }
}
