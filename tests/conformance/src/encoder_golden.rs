//! What a reference computed of texts.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{read_f32s, repository};

/// One text of an encoder's golden.
#[derive(Debug, Deserialize)]
pub struct GoldenText {
    /// The text.
    pub text: String,
    /// Its ids, cut where it is too long.
    pub ids: Vec<u32>,
    /// How many tokens were cut.
    pub truncated: usize,
    /// The name of the prompt before the text, where there is one.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The classification head's logits; none where there is no head.
    #[serde(default)]
    pub logits: Vec<f32>,
}

/// Two texts of an encoder's golden.
#[derive(Debug, Deserialize)]
pub struct GoldenPair {
    /// The texts.
    pub texts: [String; 2],
    /// The ids of both, cut where they are too long.
    pub ids: Vec<u32>,
    /// The type of each token.
    pub types: Vec<u32>,
    /// How many tokens were cut.
    pub truncated: usize,
    /// The classification head's logits.
    pub logits: Vec<f32>,
}

/// The `golden.json`, `states.f32` and `vectors.f32` of a folder.
#[derive(Debug, Deserialize)]
pub struct EncoderGolden {
    /// The texts.
    pub texts: Vec<GoldenText>,
    /// Pairs of texts, where there is a head.
    #[serde(default)]
    pub pairs: Vec<GoldenPair>,
    /// The last layer's states of all texts, one text behind the other, `[ids, width]`.
    #[serde(skip)]
    pub states: Vec<f32>,
    /// Unit vectors, `[texts, dimensions]`.
    #[serde(skip)]
    pub vectors: Vec<f32>,
}

impl EncoderGolden {
    /// Reads the golden of a folder.
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let mut golden: Self = serde_json::from_str(&text).unwrap();
        golden.states = read_f32s(&folder.join("states.f32"));
        golden.vectors = read_f32s(&folder.join("vectors.f32"));
        golden
    }

    /// Every folder `encoder-*`.
    pub fn folders() -> Vec<PathBuf> {
        let entries = std::fs::read_dir(repository().join("tests/goldens")).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> =
            entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("encoder-")).collect();
        folders.sort();
        folders
    }
}
