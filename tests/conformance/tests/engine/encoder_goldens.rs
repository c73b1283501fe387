//! Tiny random encoders of every family against `transformers` (tests/reference/make_encoder_goldens.py), on every device.

use conformance::{EncoderGolden, Loading, cut_in_turn, folder_files, golden_folder, gpu, largest_difference};
use eyas_core::{DeviceKind, LoadOptions, Quantize};
use eyas_engine::{EncoderEngine, ModelHeaders, ModelKind};
use eyas_kernels::KernelDevice;
use eyas_model::ScoreKind;
use pollster::block_on;

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Ids equal; states, vectors and logits within `tolerance` of the largest.
fn check(engine: &EncoderEngine, golden: &EncoderGolden, tolerance: f32) -> f32 {
    let width = engine.info().embedding_dimensions.unwrap();
    let (mut states, mut vectors, mut worst) = (Vec::new(), Vec::new(), 0.0_f32);
    for text in &golden.texts {
        if text.prompt.is_none() {
            let (ids, left_out) = engine.encode(&text.text).unwrap();
            assert_eq!((&ids, left_out), (&text.ids, text.truncated), "{:?}", text.text);
        }
        let (ids, left_out) = (&text.ids, text.truncated);
        states.extend(block_on(engine.states(ids)).unwrap());
        let embedding = block_on(engine.embed_prompted(&text.text, text.prompt.as_deref())).unwrap();
        assert_eq!((embedding.tokens, embedding.truncated_tokens, embedding.vector.len()), (ids.len(), left_out, width));
        vectors.extend(embedding.vector);
        if text.logits.is_empty() {
            assert_eq!(block_on(engine.classify(&text.text)).unwrap_err().code(), "unsupported-model");
            continue;
        }
        let logits = block_on(engine.class_logits(&text.text)).unwrap();
        worst = worst.max(largest_difference(&logits, &text.logits).0 / largest(&text.logits));
        let scores = block_on(engine.classify(&text.text)).unwrap();
        let best = (0..logits.len()).max_by(|a, b| text.logits[*a].total_cmp(&text.logits[*b])).unwrap();
        let classifier = engine.config().classifier.as_ref().unwrap();
        assert_eq!(scores[0].label, classifier.labels[best]);
        let total: f32 = scores.iter().map(|score| score.score).sum();
        assert!(classifier.scores == ScoreKind::Sigmoid || (total - 1.0).abs() < 1e-5, "{scores:?}");
    }
    for pair in &golden.pairs {
        let [first, second] = &pair.texts;
        let encoded = engine.encode_pair(first, second).unwrap();
        assert_eq!(
            (&encoded.ids, &encoded.types, encoded.left_out),
            (&pair.ids, &pair.types, pair.truncated),
            "{:?}",
            pair.texts
        );
        let logits = block_on(engine.pair_logits(first, second)).unwrap();
        worst = worst.max(largest_difference(&logits, &pair.logits).0 / largest(&pair.logits));
        let scores = block_on(engine.classify_pair(first, second)).unwrap();
        let best = (0..logits.len()).max_by(|a, b| pair.logits[*a].total_cmp(&pair.logits[*b])).unwrap();
        assert_eq!(scores[0].label, engine.config().classifier.as_ref().unwrap().labels[best]);
    }
    worst = worst.max(largest_difference(&states, &golden.states).0 / largest(&golden.states));
    worst = worst.max(largest_difference(&vectors, &golden.vectors).0 / largest(&golden.vectors));
    assert!(worst <= tolerance, "{worst:.1e}, at most {tolerance:.1e}");
    worst
}

fn check_all(device: &KernelDevice, tolerance: f32) {
    let folders = EncoderGolden::folders();
    assert!(folders.len() >= 6, "found {} of the encoders' goldens", folders.len());
    for (turn, folder) in folders.into_iter().enumerate() {
        let engine = Loading::default().on(cut_in_turn(device, turn)).load_encoder(&folder);
        let worst = check(&engine, &EncoderGolden::read(&folder), tolerance);
        println!("{} on {}: {worst:.1e}", folder.file_name().unwrap().display(), device.report().name);
    }
}

#[test]
fn states_vectors_and_logits_on_the_cpu() {
    check_all(&conformance::cpu(), 1e-4);
}

#[test]
fn states_vectors_and_logits_on_the_gpu() {
    if let Some(gpu) = gpu() {
        check_all(&gpu, 1e-3);
    }
}

/// Folders with the GGUF file that llama.cpp's converter made of the model.
fn check_gguf(device: &KernelDevice, tolerance: f32) {
    let folders: Vec<_> = EncoderGolden::folders().into_iter().filter(|folder| folder.join("model.gguf").exists()).collect();
    let (mut checked, mut heads) = (0, 0);
    for folder in folders {
        let mut golden = EncoderGolden::read(&folder);
        if folder.ends_with("encoder-bert-labels") {
            continue; // half a head, which is refused
        }
        if folder.ends_with("encoder-distilbert-labels") {
            // The file does not say that several labels may fit: scores are others, logits are not.
            golden.pairs.clear();
        }
        // The file does not say how many tokens the model was trained on.
        let most = golden.texts.iter().map(|text| text.ids.len()).chain(golden.pairs.iter().map(|pair| pair.ids.len())).max();
        let options = LoadOptions { context_tokens: most, ..Loading::default().options };
        let engine = Loading { options, ..Loading::default() }.on(device.clone()).load_encoder(&folder.join("model.gguf"));
        let worst = check(&engine, &golden, tolerance);
        println!("{} from GGUF on {}: {worst:.1e}", folder.file_name().unwrap().display(), device.report().name);
        (checked, heads) = (checked + 1, heads + usize::from(engine.config().classifier.is_some()));
    }
    assert!(checked >= 7 && heads >= 4, "{checked} GGUF files of encoders, {heads} with heads");
}

#[test]
fn gguf_files_give_the_same_vectors_on_the_cpu() {
    check_gguf(&conformance::cpu(), 1e-4);
}

#[test]
fn gguf_files_give_the_same_vectors_on_the_gpu() {
    if let Some(gpu) = gpu() {
        check_gguf(&gpu, 1e-3);
    }
}

#[test]
fn quantised_vectors_point_the_same_way() {
    let folder = golden_folder("encoder-bert-mean");
    let exact = Loading::default().load_encoder(&folder);
    for (quantize, least) in [(Quantize::Q8, 0.999), (Quantize::Q4, 0.97)] {
        let rounded = Loading::default().quantized(quantize).load_encoder(&folder);
        assert!(rounded.info().memory_bytes < exact.info().memory_bytes);
        for text in EncoderGolden::read(&folder).texts {
            let pair = (block_on(exact.embed(&text.text)).unwrap(), block_on(rounded.embed(&text.text)).unwrap());
            let cosine = pair.0.cosine(&pair.1);
            assert!(cosine >= least, "{quantize:?}, {:?}: {cosine}", text.text);
        }
    }
}

#[test]
fn a_vector_does_not_depend_on_what_was_embedded_before() {
    let folder = golden_folder("encoder-bert-mean");
    let engine = Loading::default().load_encoder(&folder);
    let texts: Vec<String> = EncoderGolden::read(&folder).texts.into_iter().map(|text| text.text).collect();
    let together = block_on(engine.embed_all(&texts)).unwrap();
    for (text, of_all) in texts.iter().zip(together).rev() {
        assert_eq!(block_on(engine.embed(text)).unwrap(), of_all, "{text:?}");
    }
}

#[test]
fn what_is_loaded_is_told() {
    let folder = golden_folder("encoder-bert-labels");
    let options = LoadOptions { context_tokens: Some(20), ..Loading::default().options };
    let engine = Loading { options: options.clone(), ..Loading::default() }.load_encoder(&folder);
    let info = engine.info();
    assert_eq!((info.kind, info.architecture.as_str(), info.context_tokens), (ModelKind::Encoder, "bert", 20));
    assert_eq!((info.embedding_dimensions, info.labels.unwrap().len(), info.has_chat_template), (Some(36), 3, false));
    assert_eq!(info.fingerprint.len(), 16);
    let need = block_on(ModelHeaders::open(&folder_files(&folder))).unwrap().need(&options, DeviceKind::Cpu).unwrap();
    let planned = need.weight_bytes + need.cache_bytes;
    assert!(planned >= info.memory_bytes && planned as f64 <= 1.05 * info.memory_bytes as f64, "{planned} {}", info.memory_bytes);
    assert_eq!((need.context_tokens, need.matrices.len()), (20, 1 + 2 * 4 + 2));
    assert_eq!(block_on(engine.embed(&"jazz ".repeat(50))).unwrap().truncated_tokens, 32);
    assert_eq!(block_on(ModelKind::of(&folder_files(&folder))).unwrap(), ModelKind::Encoder);
    assert_eq!(block_on(ModelKind::of(&folder_files(&golden_folder("llama-mqa-f16")))).unwrap(), ModelKind::Decoder);
    let gguf = folder_files(&golden_folder("encoder-bert-mean/model.gguf"));
    assert_eq!(block_on(ModelKind::of(&gguf)).unwrap(), ModelKind::Encoder);
    let gguf = block_on(ModelHeaders::open(&gguf)).unwrap().need(&options, DeviceKind::Cpu).unwrap();
    assert_eq!((gguf.context_tokens, gguf.matrices.len()), (20, 1 + 2 * 4));
}
