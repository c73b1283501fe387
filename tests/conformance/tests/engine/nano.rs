//! The embedded model: the engine answers its samples as the reference implementation did when the model was made.

use conformance::{Loading, answer, repository, skip};
use eyas_core::{FinishReason, GenerateOptions, Message};
use eyas_engine::{Prompt, Request};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sample {
    utterance: String,
    prompt_ids: Vec<u32>,
    output_ids: Vec<u32>,
    output_text: String,
}

#[test]
fn eyas_nano_answers_its_samples() {
    let folder = repository().join("www/eyas/models/eyas-nano");
    let samples = repository().join("tests/eval/nano/samples.json");
    if !folder.exists() {
        return skip("www/eyas/models/eyas-nano is not there yet");
    }
    assert!(samples.exists(), "the model is there, but its samples are not");
    let engine = Loading::default().load(&folder);
    let samples: Vec<Sample> = serde_json::from_str(&std::fs::read_to_string(samples).unwrap()).unwrap();
    assert!(!samples.is_empty());
    for sample in samples {
        let prompt = || Prompt::Messages(vec![Message::user(&sample.utterance)]);
        let request = Request::new(prompt(), GenerateOptions::default());
        assert_eq!(engine.encode_prompt(&request).unwrap(), sample.prompt_ids, "{}", sample.utterance);
        let completion = answer(&engine, prompt(), GenerateOptions::default());
        assert_eq!(completion.token_ids, sample.output_ids, "{}: {}", sample.utterance, completion.text);
        assert_eq!((completion.text, completion.finish_reason), (sample.output_text, FinishReason::Stop));
    }
}
