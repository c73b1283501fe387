//! What a reference computed.

use std::path::Path;

use serde::Deserialize;

/// The `golden.json` and `logits.f32` of a folder.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// The prompt.
    pub ids: Vec<u32>,
    /// What greedy decoding continues it with.
    pub greedy_ids: Vec<u32>,
    /// The largest absolute logit.
    pub largest_logit: f32,
    /// Logits at the positions of the prompt and of all greedy ids but the last, `[positions, vocab]`.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

impl Golden {
    /// Reads the golden of a folder.
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let mut golden: Self = serde_json::from_str(&text).unwrap();
        golden.logits = read_f32s(&folder.join("logits.f32"));
        golden
    }

    /// The ids whose logits the golden has: the prompt, and all greedy ids but the last.
    pub fn sequence(&self) -> Vec<u32> {
        let mut sequence = self.ids.clone();
        sequence.extend(&self.greedy_ids[..self.greedy_ids.len() - 1]);
        sequence
    }
}

/// Reads a file of little-endian floats.
pub fn read_f32s(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.len().is_multiple_of(4), "{} has {} bytes", path.display(), bytes.len());
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The largest absolute difference, and where it is.
pub fn largest_difference(found: &[f32], expected: &[f32]) -> (f32, usize) {
    assert_eq!(found.len(), expected.len());
    let mut worst = (0.0, 0);
    for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        // A NaN must never pass as small.
        if difference.is_nan() || difference > worst.0 {
            worst = (if difference.is_nan() { f32::INFINITY } else { difference }, position);
        }
    }
    worst
}
