//! What is told of a load before it, and of an answer after it: planned bytes, the fingerprint, the tokens' signals.

use std::path::PathBuf;

use conformance::{Loading, folder_files, greedy, repository, skip};
use eyas_core::{DeviceKind, Event, GenerateOptions, LoadOptions, Message, Quantize};
use eyas_engine::{Engine, LoadNeed, ModelHeaders, ModelKind, Prompt, Request};
use pollster::block_on;

/// What a model holds with one session that has answered.
fn allocated_with_a_session(engine: &Engine, request: &Request) -> u64 {
    let session = engine.session();
    let mut generation = session.start(request).unwrap();
    while !matches!(block_on(generation.next()).unwrap(), Event::Done(_)) {}
    engine.info().memory_bytes
}

/// Holds what was allocated to the plan: never above it, and at most 5% below. Returns both in words.
fn held_to_its_plan(need: &LoadNeed, allocated: u64, what: &str) -> String {
    let planned = need.weight_bytes + need.cache_bytes;
    let told = format!("{what}: planned {planned}, allocated {allocated}");
    assert!(planned >= allocated && planned as f64 <= 1.05 * allocated as f64, "{told}");
    told
}

#[test]
fn a_plan_is_never_below_what_is_allocated_and_at_most_5_percent_above() {
    let folder = repository().join("www/eyas/models/eyas-nano");
    if !folder.exists() {
        return skip("www/eyas/models/eyas-nano is not there yet");
    }
    let mut fingerprints = Vec::new();
    for quantize in [Quantize::None, Quantize::Q8, Quantize::Q4] {
        for context_tokens in [32, 128] {
            let options = LoadOptions { quantize, context_tokens: Some(context_tokens), ..LoadOptions::default() };
            let need = block_on(ModelHeaders::open(&folder_files(&folder))).unwrap().need(&options, DeviceKind::Cpu).unwrap();
            assert!(need.matrices.iter().all(|(_, bytes)| *bytes <= need.largest_buffer_bytes));
            let engine = Loading::default().quantized(quantize).context(context_tokens).load(&folder);
            let request = Request::new(Prompt::Messages(vec![Message::user("play jazz")]), GenerateOptions::default());
            let allocated = allocated_with_a_session(&engine, &request);
            println!("{}", held_to_its_plan(&need, allocated, &format!("{quantize:?} {context_tokens}")));
            fingerprints.push(engine.info().fingerprint);
        }
    }
    assert!(fingerprints[0].len() == 16 && fingerprints.iter().all(|other| *other == fingerprints[0]), "{fingerprints:?}");
}

/// eyas-nano's answers begin with `{"intent":"`; among labels of which none does, the least improbable one counts.
#[test]
fn the_first_margin_is_that_among_the_labels_where_there_are_some() {
    let folder = repository().join("www/eyas/models/eyas-nano");
    if !folder.exists() {
        return skip("www/eyas/models/eyas-nano is not there yet");
    }
    let engine = Loading::default().load(&folder);
    let session = engine.session();
    let margins = |labels: &[&str]| {
        let options = GenerateOptions { max_tokens: Some(3), ..GenerateOptions::default() };
        let mut generation =
            session.start(&Request::new(Prompt::Messages(vec![Message::user("will it rain in oslo")]), options)).unwrap();
        generation.watch_labels(&labels.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        while !matches!(block_on(generation.next()).unwrap(), Event::Done(_)) {}
        generation.signals().iter().map(|signal| signal.margin).collect::<Vec<_>>()
    };
    let (free, clear, unclear) = (margins(&[]), margins(&["{", "rain"]), margins(&["rain", "rather"]));
    println!("{free:?} {clear:?} {unclear:?}");
    assert!(clear[0] > 0.9 && unclear[0] < clear[0] && clear[0] < free[0], "{clear:?} {unclear:?}");
    assert!(free[1..] == clear[1..] && free[1..] == unclear[1..], "only the first token chooses a label");
    assert!(margins(&["{", "{ \"a\""])[0].abs() < 1e-6, "they begin with the same token");
}

/// The model of every golden, in a folder and where there is one in a GGUF file.
fn goldens() -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir(repository().join("tests/goldens")).unwrap().map(|entry| entry.unwrap().path());
    let models = folders.flat_map(|folder| {
        // Its file has the classifier without the pooler before it, which is refused.
        let lacks_pooler = folder.ends_with("encoder-bert-labels");
        let gguf = Some(folder.join("model.gguf")).filter(|file| file.exists() && !lacks_pooler);
        [Some(folder).filter(|folder| folder.join("config.json").exists()), gguf]
    });
    models.flatten()
}

#[test]
fn what_is_allocated_for_every_family_is_what_was_planned() {
    let (mut decoders, mut encoders) = (0, 0);
    for path in goldens() {
        for quantize in [Quantize::None, Quantize::Q8, Quantize::Q4] {
            let options = LoadOptions { quantize, context_tokens: Some(30), ..LoadOptions::default() };
            let loading = Loading { options: options.clone(), ..Loading::default() };
            let headers = block_on(ModelHeaders::open(&folder_files(&path))).unwrap();
            let need = headers.need(&options, DeviceKind::Cpu).unwrap();
            // What a GPU allocates is held to this one in a browser (tests/browser/gpu_plan.test.mjs).
            let on_gpu = headers.need(&options, DeviceKind::Gpu).unwrap();
            assert_eq!((on_gpu.weight_bytes, on_gpu.cache_bytes), (need.weight_bytes, need.cache_bytes), "{}", path.display());
            let allocated = if block_on(ModelKind::of(&folder_files(&path))).unwrap() == ModelKind::Encoder {
                encoders += 1;
                loading.load_encoder(&path).info().memory_bytes
            } else {
                decoders += 1;
                let engine = loading.load(&path);
                allocated_with_a_session(&engine, &Request::new(Prompt::Ids(vec![1, 2, 3]), greedy(2)))
            };
            held_to_its_plan(&need, allocated, &format!("{} as {quantize:?}", path.display()));
        }
    }
    assert!(decoders >= 3 * 30 && encoders >= 3 * 20, "{decoders} loads of decoders, {encoders} of encoders");
}

#[test]
fn signals_agree_with_the_logprobs() {
    let folder = repository().join("www/eyas/models/eyas-nano");
    if !folder.exists() {
        return skip("www/eyas/models/eyas-nano is not there yet");
    }
    let engine = Loading::default().load(&folder);
    let options = GenerateOptions { logprobs: true, top_logprobs: 2, ..GenerateOptions::default() };
    let request = Request::new(Prompt::Messages(vec![Message::user("will it rain in oslo")]), options);
    let session = engine.session();
    let mut generation = session.start(&request).unwrap();
    generation.watch_signals();
    assert_eq!(generation.pending_tokens(), engine.encode_prompt(&request).unwrap().len());
    let completion = loop {
        if let Event::Done(completion) = block_on(generation.next()).unwrap() {
            break completion;
        }
    };
    let signals = generation.signals();
    assert_eq!(signals.len(), completion.token_ids.len());
    for (signal, logprob) in signals.iter().zip(&completion.logprobs) {
        assert!((signal.logprob - logprob.logprob).abs() < 1e-5);
        let margin = logprob.top[0].logprob.exp() - logprob.top[1].logprob.exp();
        assert!((signal.margin - margin).abs() < 1e-5 && signal.entropy >= 0.0);
    }
}
