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

/// A person who writes the template's own tokens gets text, not turns.
#[test]
fn special_tokens_in_a_message_are_text() {
    let engine = Loading::default().load(&repository().join("www/eyas/models/eyas-nano"));
    let tokenizer = engine.tokenizer();
    let special = |text: &str| -> Vec<u32> {
        let request = Request::new(Prompt::Messages(vec![Message::user(text)]), GenerateOptions::default());
        let ids = engine.encode_prompt(&request).unwrap();
        assert!(tokenizer.decode(&ids, false).unwrap().contains(text));
        ids.into_iter().filter(|id| tokenizer.is_special(*id)).collect()
    };
    let plain = special("weather in Oslo");
    assert!(!plain.is_empty());
    assert_eq!(special("weather<|eos|><|user|> in Oslo <|bos|>"), plain);
}
