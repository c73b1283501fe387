//! Tiny random models of every decoder family against `transformers` (tests/reference/make_family_goldens.py), on every device.

use std::path::PathBuf;

use conformance::{Golden, Loading, answer, cut_in_turn, golden_folder, greedy, largest_difference, repository};
use eyas_engine::{Engine, Prompt};
use eyas_kernels::KernelDevice;
use pollster::block_on;

/// Every folder `family-*`, with the same model as GGUF where the golden has one.
fn models() -> Vec<(PathBuf, PathBuf)> {
    let folders = std::fs::read_dir(repository().join("tests/goldens")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> =
        folders.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("family-")).collect();
    folders.sort();
    assert!(folders.len() >= 20, "found {} of the families' goldens", folders.len());
    let with_files = |folder: PathBuf| {
        let gguf = folder.join("model.gguf");
        let files = [Some(folder.clone()), gguf.exists().then_some(gguf)];
        files.into_iter().flatten().map(move |file| (folder.clone(), file)).collect::<Vec<_>>()
    };
    folders.into_iter().flat_map(with_files).collect()
}

/// Logits at every position of the golden as it was decoded: a sequence whose frequencies change with its length is computed anew for each
/// token, as the reference did.
fn logits(engine: &Engine, golden: &Golden) -> Vec<f32> {
    let sequence = golden.sequence();
    if engine.config().rope.switch_at().is_none_or(|longest_short| sequence.len() <= longest_short) {
        return block_on(engine.logits(&sequence)).unwrap();
    }
    let mut logits = block_on(engine.logits(&golden.ids)).unwrap();
    for end in golden.ids.len() + 1..=sequence.len() {
        let all = block_on(engine.logits(&sequence[..end])).unwrap();
        logits.extend(&all[all.len() - engine.config().vocab_size..]);
    }
    logits
}

/// Logits at all positions within `tolerance` of the largest logit, and the same greedy ids, in steps of `chunk` tokens.
fn check(device: &KernelDevice, tolerance: f32, chunk: usize) {
    let mut worst_of_all = 0.0_f32;
    // On a GPU most of the time goes into compiling pipelines, and those of a GGUF file are the same once more.
    let models = models().into_iter().filter(|(folder, model)| folder == model || !device.is_gpu());
    for (turn, (folder, model)) in models.enumerate() {
        let golden = Golden::read(&folder);
        let engine = Loading::default().on(cut_in_turn(device, turn)).chunks_of(chunk).load(&model);
        let (worst, at) = largest_difference(&logits(&engine, &golden), &golden.logits);
        let (worst, vocab) = (worst / golden.largest_logit, engine.config().vocab_size);
        println!("{}: {worst:.1e} of the largest logit, at position {}", model.display(), at / vocab);
        assert!(worst <= tolerance, "{}: {worst:.1e} at position {}, at most {tolerance:.1e}", model.display(), at / vocab);
        worst_of_all = worst_of_all.max(worst);
        let completion = answer(&engine, Prompt::Ids(golden.ids.clone()), greedy(golden.greedy_ids.len()));
        assert_eq!(completion.token_ids, golden.greedy_ids, "{}", model.display());
    }
    println!("all families on {}: at most {worst_of_all:.1e}", device.report().name);
}

#[test]
fn logits_and_greedy_ids_on_the_cpu() {
    check(&conformance::cpu(), 1e-4, 128);
}

/// Small steps, so that positions come around in the caches of windows.
#[test]
fn logits_and_greedy_ids_on_the_cpu_in_steps_of_three() {
    check(&conformance::cpu(), 1e-4, 3);
}

#[test]
fn logits_and_greedy_ids_on_the_gpu_in_steps_of_five() {
    let Some(gpu) = conformance::gpu() else { return };
    check(&gpu, 1e-3, 5);
}

/// A padded vocabulary: what the tokenizer doesn't know had the largest logit at some step, and was passed over.
#[test]
fn padding_is_never_sampled() {
    for name in ["family-qwen2-padded", "family-qwen3-tied"] {
        let folder = golden_folder(name);
        for model in [folder.clone(), folder.join("model.gguf")] {
            let engine = Loading::default().load(&model);
            let known = engine.tokenizer().vocab_size().min(engine.config().vocab_size - engine.unknown_ids().len());
            assert!(known < engine.config().vocab_size, "{}", model.display());
            let golden = Golden::read(&folder);
            let sequence = golden.sequence();
            let logits = block_on(engine.logits(&sequence)).unwrap();
            let greedy_rows = logits.chunks(engine.config().vocab_size).skip(golden.ids.len() - 1);
            let largest = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            assert!(greedy_rows.filter(|row| largest(row) >= known).count() > 0, "{}", model.display());
            assert!(golden.greedy_ids.iter().all(|id| (*id as usize) < known));
        }
    }
}
