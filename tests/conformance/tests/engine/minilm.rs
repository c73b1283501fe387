//! all-MiniLM-L6-v2 against what sentence-transformers made of real sentences. tests/eval/embedding/record_minilm.py fetches the model and records; without
//! it, these tests are printed skips.

use std::path::PathBuf;

use conformance::{Loading, read_f32s, repository, skip};
use eyas_core::Quantize;
use eyas_engine::{Embedding, EncoderEngine, LabelIndex};
use pollster::block_on;
use serde::Deserialize;

/// What the script recorded.
#[derive(Deserialize)]
struct Recorded {
    sentences: Vec<String>,
    index: Vec<(String, String)>,
    queries: Vec<(String, String)>,
    #[serde(skip)]
    vectors: Vec<f32>,
}

impl Recorded {
    fn read() -> Option<(PathBuf, Self)> {
        let folder = repository().join("tests/eval/embedding/.cache");
        let Ok(text) = std::fs::read_to_string(folder.join("texts.json")) else {
            skip("all-MiniLM-L6-v2 is not there; tests/eval/embedding/record_minilm.py fetches it");
            return None;
        };
        let mut recorded: Self = serde_json::from_str(&text).unwrap();
        recorded.vectors = read_f32s(&folder.join("vectors.f32"));
        Some((folder.join("all-MiniLM-L6-v2"), recorded))
    }

    /// The reference's vectors, in the order of the texts.
    fn embeddings(&self) -> Vec<Embedding> {
        let embedding = |vector: &[f32]| Embedding { vector: vector.to_vec(), tokens: 0, truncated_tokens: 0 };
        self.vectors.chunks(384).map(embedding).collect()
    }
}

/// The nearest label of each query, by examples that were embedded like the queries.
fn nearest(recorded: &Recorded, embeddings: &[Embedding]) -> Vec<String> {
    let labelled = &embeddings[recorded.sentences.len()..];
    let mut index = LabelIndex::new();
    for ((label, _), example) in recorded.index.iter().zip(labelled) {
        index.add(label, example).unwrap();
    }
    let queries = &labelled[recorded.index.len()..];
    queries.iter().map(|query| index.rank(query).unwrap()[0].label.clone()).collect()
}

fn embed_all(engine: &EncoderEngine, recorded: &Recorded) -> Vec<Embedding> {
    let labelled = recorded.index.iter().chain(&recorded.queries).map(|(_, text)| text);
    let texts: Vec<&String> = recorded.sentences.iter().chain(labelled).collect();
    block_on(engine.embed_all(&texts)).unwrap()
}

/// Cosines to the reference of at least `least`, and the labels of the reference but for `others` of the 77.
fn check(quantize: Quantize, least: f32, others: usize) {
    let Some((folder, recorded)) = Recorded::read() else { return };
    let engine = Loading::default().quantized(quantize).load_encoder(&folder);
    assert_eq!((engine.info().context_tokens, recorded.sentences.len(), recorded.queries.len()), (256, 200, 77));
    let (found, expected) = (embed_all(&engine, &recorded), recorded.embeddings());
    let cosines: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a.cosine(b)).collect();
    let worst = cosines.iter().copied().fold(1.0, f32::min);
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    assert!(found[..200].iter().any(|embedding| embedding.truncated_tokens > 0), "no sentence is too long");

    let (labels, reference) = (nearest(&recorded, &found), nearest(&recorded, &expected));
    let truth = recorded.queries.iter().map(|(label, _)| label);
    let right = |labels: &[String]| labels.iter().zip(truth.clone()).filter(|(a, b)| a == b).count();
    let same = labels.iter().zip(&reference).filter(|(a, b)| a == b).count();
    println!(
        "{quantize:?}: cosine at least {worst:.7}, {mean:.7} on average over {} texts; nearest of 77 labels: {same} of {} as the reference, {} right, \
         of the reference {}",
        cosines.len(),
        labels.len(),
        right(&labels),
        right(&reference)
    );
    assert!(worst >= least, "{quantize:?}: {worst}, at least {least}");
    assert!(same + others >= labels.len(), "{quantize:?}: {same} of {} labels", labels.len());
}

#[test]
fn unquantised_vectors_are_those_of_the_reference() {
    check(Quantize::None, 0.9999, 0);
}

#[test]
fn vectors_from_8_bits_are_near_those_of_the_reference() {
    check(Quantize::Q8, 0.999, 1);
}
