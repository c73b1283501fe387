//! Streams that real servers sent, recorded byte by byte.
//!
//! - `litellm_mock.sse`: LiteLLM's proxy from PyPI with `mock_response`.
//! - `transformers_serve.sse`: `transformers serve` 5.23 with stories260K. Its usage stands beside the finish reason, and no `[DONE]` follows.
//! - `transformers_serve_whole.json`: the same server's answer where no stream is asked for.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, FinishReason};
use eyas_tier::{TierCompletion, TierRequest};
use lab::{Act, CLOUD, End, Phase, World, user};

/// What comes of a stream in pieces of `size` bytes: the text that was shown, and the answer.
fn replayed(stream: &[u8], size: usize, end: End) -> (String, TierCompletion) {
    let world = World::new(&format!(r#"{{"privacy":"prefer-cloud",{CLOUD}}}"#));
    let pieces = stream.chunks(size).map(|piece| (0.1, piece.to_vec())).collect();
    world.plays([Act::Stream(pieces, end)]);
    let mut device = world.device(&[]);
    device.fails = Some((Phase::Load, ErrorKind::ModelNotFound));
    let request = TierRequest { messages: Some(user("hi")), ..TierRequest::default() };
    let (shown, _, end) = world.run(world.tiers.start(request, device.side(), CancelToken::new()));
    (shown, end.unwrap())
}

const SIZES: [usize; 4] = [1, 7, 100, usize::MAX];

#[test]
fn what_litellm_sent_is_its_text_however_it_is_cut() {
    for size in SIZES {
        // After [DONE] nobody waits for the connection's end.
        let (shown, completion) = replayed(include_bytes!("transcripts/litellm_mock.sse"), size, End::Stall);
        assert_eq!(shown, "A cloud answer with an umlaut ü, a bird 🐦 and an end.");
        assert_eq!(completion.text, shown);
        assert_eq!((completion.finish_reason, completion.provenance.model.as_str()), (FinishReason::Stop, "mock"));
        assert_eq!((completion.usage.prompt_tokens, completion.usage.completion_tokens), (8, 19));
    }
}

#[test]
fn what_transformers_generated_is_its_text_however_it_is_cut() {
    for size in SIZES {
        let (shown, completion) = replayed(include_bytes!("transcripts/transformers_serve.sse"), size, End::Close);
        assert_eq!(
            shown,
            ", there was a little girl named Lily. She loved to play with her toys and her friends. One day, Lily's mommy told her that they \
             were going to the par"
        );
        assert_eq!(completion.text, shown);
        assert_eq!((completion.finish_reason, completion.provenance.model.as_str()), (FinishReason::Length, "stories-chat@main"));
        assert_eq!((completion.usage.prompt_tokens, completion.usage.completion_tokens), (4, 48));
    }
}

#[test]
fn what_transformers_sent_as_a_whole_is_its_text_however_it_is_cut() {
    for size in SIZES {
        let (shown, completion) = replayed(include_bytes!("transcripts/transformers_serve_whole.json"), size, End::Close);
        assert_eq!((shown.as_str(), completion.text.as_str()), ("uck.\nThen,", "uck.\nThen,"));
        assert_eq!((completion.finish_reason, completion.provenance.model.as_str()), (FinishReason::Length, "stories-chat@main"));
        assert_eq!((completion.usage.prompt_tokens, completion.usage.completion_tokens), (18, 8));
    }
}
