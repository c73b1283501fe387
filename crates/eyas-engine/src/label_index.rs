//! The label whose examples are nearest to a text.

use eyas_core::{Error, Result};
use serde::Serialize;

use crate::{Embedding, embedding::dot};

/// A label and how well it fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// A probability where a classification head gave it; the cosine to the label's examples where a [`LabelIndex`] did.
    pub score: f32,
}

/// Labels, each with the mean direction of its examples: one description of a label is enough, more examples are better.
#[derive(Debug, Clone, Default)]
pub struct LabelIndex {
    labels: Vec<(String, Vec<f32>)>,
}

impl LabelIndex {
    /// An index without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an example of a label. Fails with `bad-input` where its vector is not as long as the others.
    pub fn add(&mut self, label: &str, example: &Embedding) -> Result<()> {
        self.check(example)?;
        match self.labels.iter_mut().find(|(known, _)| known == label) {
            Some((_, sum)) => sum.iter_mut().zip(&example.vector).for_each(|(sum, value)| *sum += value),
            None => self.labels.push((label.to_owned(), example.vector.clone())),
        }
        Ok(())
    }

    /// All labels, the nearest one first; of equally near ones, that which was added first. Fails as [`Self::add`] does.
    pub fn rank(&self, text: &Embedding) -> Result<Vec<LabelScore>> {
        self.check(text)?;
        let score = |(label, sum): &(String, Vec<f32>)| LabelScore {
            label: label.clone(),
            score: dot(sum, &text.vector) / dot(sum, sum).sqrt().max(f32::MIN_POSITIVE),
        };
        let mut ranked: Vec<_> = self.labels.iter().map(score).collect();
        eyas_core::sort_by(&mut ranked, |a, b| b.score.total_cmp(&a.score));
        Ok(ranked)
    }

    fn check(&self, embedding: &Embedding) -> Result<()> {
        match self.labels.first() {
            Some((_, first)) if first.len() != embedding.vector.len() => Err(Error::bad_input(format!(
                "expected a vector of {} values like those of the other labels, found {}; use one model for all",
                first.len(),
                embedding.vector.len()
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_direction_of_the_examples_counts() {
        let unit = |vector: &[f32]| Embedding::unit(vector.to_vec(), 1, 0).unwrap();
        let mut index = LabelIndex::new();
        assert!(index.rank(&unit(&[1.0])).unwrap().is_empty());
        index.add("up", &unit(&[1.0, 9.0])).unwrap();
        index.add("right", &unit(&[9.0, -4.0])).unwrap();
        index.add("right", &unit(&[9.0, 4.0])).unwrap();
        let ranked = index.rank(&unit(&[3.0, 1.0])).unwrap();
        assert_eq!(ranked.iter().map(|score| score.label.as_str()).collect::<Vec<_>>(), ["right", "up"]);
        assert!((ranked[0].score - 3.0 / 10.0_f32.sqrt()).abs() < 1e-6);
        assert_eq!(index.rank(&unit(&[1.0])).unwrap_err().code(), "bad-input");
    }
}
