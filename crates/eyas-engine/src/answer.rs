//! The text of an answer, as tokens make it certain.

use eyas_core::Result;
use eyas_text::{StreamDecoder, Tokenizer};

use crate::{
    reasoning::{Parts, ReasoningSplit},
    stop::StopStrings,
};

/// The text so far: whole characters only, end tokens and special tokens left out, cut before a stop string.
#[derive(Debug)]
pub struct Answer {
    decoder: StreamDecoder,
    split: ReasoningSplit,
    /// The ids of the tags around reasoning, where they are special tokens.
    tag_ids: [Option<u32>; 2],
    stops: StopStrings,
    vocab_size: usize,
    text: String,
    reasoning: String,
}

/// What a token made certain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// Whether a stop string came.
    pub(crate) stopped: bool,
}

impl Answer {
    /// An empty answer that ends before any of `stops`, which are looked for behind the reasoning only.
    pub(crate) fn new(tokenizer: &Tokenizer, stops: &[String], split: ReasoningSplit) -> Self {
        Self {
            decoder: tokenizer.stream_decoder(true),
            split,
            tag_ids: ReasoningSplit::tags().map(|tag| tokenizer.id(tag).filter(|id| tokenizer.is_special(*id))),
            stops: StopStrings::new(stops),
            vocab_size: tokenizer.vocab_size(),
            text: String::new(),
            reasoning: String::new(),
        }
    }

    /// Takes the next token.
    pub(crate) fn push(&mut self, id: u32) -> Result<Step> {
        // A model may have more rows than its tokenizer has tokens; such a row stands for no text.
        let mut decoded = if (id as usize) < self.vocab_size { self.decoder.push(id)? } else { String::new() };
        if let Some(tag) = self.tag_ids.iter().position(|tag| *tag == Some(id)) {
            decoded.push_str(ReasoningSplit::tags()[tag]);
        }
        let parts = self.split.push(&decoded);
        Ok(self.pass(parts))
    }

    /// Ends the answer; returns what was still held back. A stop string may come to light even here.
    pub(crate) fn finish(&mut self) -> Result<Step> {
        let decoded = self.decoder.finish()?;
        let mut parts = self.split.push(&decoded);
        let rest = self.split.finish();
        parts.reasoning.push_str(&rest.reasoning);
        parts.text.push_str(&rest.text);
        let mut step = self.pass(parts);
        if !step.stopped {
            let rest = self.stops.finish();
            self.text.push_str(&rest);
            step.text.push_str(&rest);
        }
        Ok(step)
    }

    /// The whole text, and the whole reasoning, once.
    pub(crate) fn take(&mut self) -> (String, String) {
        (std::mem::take(&mut self.text), std::mem::take(&mut self.reasoning))
    }

    fn pass(&mut self, parts: Parts) -> Step {
        let passed = self.stops.push(&parts.text);
        self.text.push_str(&passed.text);
        self.reasoning.push_str(&parts.reasoning);
        Step { text: passed.text, reasoning: parts.reasoning, stopped: passed.stopped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens 0–3 are the bytes of "€" and "!", by byte fallback; 4 is "ab", 5 is "c".
    fn tokenizer() -> Tokenizer {
        let json = br#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
            "decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]},
            "model":{"type":"BPE","byte_fallback":true,"vocab":{"<0xE2>":0,"<0x82>":1,"<0xAC>":2,"!":3,"ab":4,"c":5},"merges":[]}}"#;
        Tokenizer::from_json(json, None).unwrap()
    }

    fn run(stops: &[&str], ids: &[u32]) -> (Vec<String>, String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut answer = Answer::new(&tokenizer(), &stops, ReasoningSplit::off());
        let mut deltas = Vec::new();
        for &id in ids {
            let step = answer.push(id).unwrap();
            deltas.push(step.text);
            if step.stopped {
                return (deltas, answer.take().0, true);
            }
        }
        let step = answer.finish().unwrap();
        deltas.push(step.text);
        (deltas, answer.take().0, step.stopped)
    }

    #[test]
    fn deltas_make_up_the_text_and_never_half_a_character() {
        let (deltas, text, _) = run(&[], &[4, 0, 1, 2, 3, 0]);
        assert_eq!(deltas, ["ab", "", "", "€", "!", "", "\u{fffd}"]);
        assert_eq!(text, "ab€!\u{fffd}");
    }

    #[test]
    fn a_stop_string_may_begin_and_end_inside_tokens() {
        let (deltas, text, stopped) = run(&["bc"], &[3, 4, 5, 4]);
        assert_eq!((deltas.concat(), text.as_str(), stopped), ("!a".to_owned(), "!a", true));
    }

    #[test]
    fn held_text_comes_out_at_the_end_unless_it_was_the_stop() {
        assert_eq!(run(&["abab"], &[4]).1, "ab");
        assert_eq!(run(&["\u{fffd}"], &[4, 0]), (vec!["ab".into(), String::new(), String::new()], "ab".into(), true));
    }

    #[test]
    fn a_row_without_a_token_is_no_text() {
        assert_eq!(run(&[], &[4, 99, 5]).1, "abc");
    }

    #[test]
    fn tags_that_are_special_tokens_part_the_answer_too() {
        let json = br#"{"version":"1.0","added_tokens":[
            {"id":2,"content":"<think>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
            {"id":3,"content":"</think>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
            "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"Fuse"},
            "model":{"type":"BPE","vocab":{"a":0,"b":1,"<think>":2,"</think>":3},"merges":[]}}"#;
        let tokenizer = Tokenizer::from_json(json, None).unwrap();
        let mut answer = Answer::new(&tokenizer, &["a".to_owned()], ReasoningSplit::new(false));
        let steps: Vec<Step> = [2, 0, 3, 1, 0].into_iter().map(|id| answer.push(id).unwrap()).collect();
        assert_eq!(steps[1].reasoning, "a", "a stop string is looked for in the answer only");
        assert_eq!((steps[3].text.as_str(), steps[4].stopped), ("b", true));
        assert_eq!(answer.take(), ("b".into(), "a".into()));
    }
}
