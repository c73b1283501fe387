//! Streams that real servers sent, recorded byte by byte. `litellm_mock.sse`: LiteLLM's proxy 1.x from PyPI with `mock_response`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod lab;

use eyas_core::{CancelToken, ErrorKind, FinishReason};
use eyas_tier::TierRequest;
use lab::{Act, CLOUD, End, Phase, World, user};

const LITELLM: &[u8] = include_bytes!("transcripts/litellm_mock.sse");

#[test]
fn a_recorded_stream_is_its_text_however_it_is_cut() {
    for size in [1, 7, 100, LITELLM.len()] {
        let world = World::new(&format!(r#"{{"privacy":"prefer-cloud",{CLOUD}}}"#));
        let pieces = LITELLM.chunks(size).map(|piece| (0.1, piece.to_vec())).collect();
        world.plays([Act::Stream(pieces, End::Stall)]);
        let mut device = world.device(&[]);
        device.fails = Some((Phase::Load, ErrorKind::ModelNotFound));
        let request = TierRequest { messages: Some(user("hi")), ..TierRequest::default() };
        let (shown, _, end) = world.run(world.tiers.start(request, device.side(), CancelToken::new()));
        let completion = end.unwrap();
        assert_eq!(
            (shown.as_str(), completion.text.as_str()),
            ("A cloud answer with an umlaut ü, a bird 🐦 and an end.", shown.as_str())
        );
        assert_eq!(
            (completion.finish_reason, completion.usage.prompt_tokens, completion.usage.completion_tokens),
            (FinishReason::Stop, 8, 19)
        );
        assert_eq!(completion.provenance.model, "mock");
    }
}
