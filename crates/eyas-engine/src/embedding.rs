//! The vector of a text.

use eyas_core::{Error, ErrorKind, Result};
use serde::Serialize;

/// The vector of a text, and what it was computed from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Embedding {
    /// As many values as the model's states have; its length is 1.
    pub vector: Vec<f32>,
    /// Tokens that were computed, special ones included.
    pub tokens: usize,
    /// Tokens at the end of the text that did not fit and were left out.
    pub truncated_tokens: usize,
}

impl Embedding {
    /// Makes the vector's length 1. Fails with `bad-device` where a value is no finite number; a vector of zeros stays as it is.
    pub(crate) fn unit(mut vector: Vec<f32>, tokens: usize, truncated_tokens: usize) -> Result<Self> {
        let length = dot(&vector, &vector).sqrt();
        if !length.is_finite() {
            return Err(Error::new(
                ErrorKind::BadDevice,
                "a value of the embedding is not a finite number; load the model on another device",
            ));
        }
        if length > 0.0 {
            for value in &mut vector {
                *value /= length;
            }
        }
        Ok(Self { vector, tokens, truncated_tokens })
    }

    /// The cosine of the angle to another vector of the same model, -1 to 1.
    pub fn cosine(&self, other: &Self) -> f32 {
        dot(&self.vector, &other.vector)
    }
}

/// `Σ a·b`.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_become_unit_vectors() {
        let unit = Embedding::unit(vec![3.0, 4.0], 2, 0).unwrap();
        assert_eq!(unit.vector, [0.6, 0.8]);
        assert!((unit.cosine(&Embedding::unit(vec![-8.0, 6.0], 2, 0).unwrap())).abs() < 1e-6);
        assert_eq!(Embedding::unit(vec![0.0], 2, 0).unwrap().vector, [0.0]);
        assert_eq!(Embedding::unit(vec![f32::NAN], 2, 0).unwrap_err().code(), "bad-device");
    }
}
