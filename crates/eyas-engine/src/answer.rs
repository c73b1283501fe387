//! The text of an answer, as tokens make it certain.

use eyas_core::Result;
use eyas_text::{StreamDecoder, Tokenizer};

use crate::stop::StopStrings;

/// The text so far: whole characters only, end tokens and special tokens left out, cut before a stop string.
#[derive(Debug)]
pub struct Answer {
    decoder: StreamDecoder,
    stops: StopStrings,
    vocab_size: usize,
    text: String,
}

impl Answer {
    /// An empty answer that ends before any of `stops`.
    pub fn new(tokenizer: &Tokenizer, stops: &[String]) -> Self {
        Self {
            decoder: tokenizer.stream_decoder(true),
            stops: StopStrings::new(stops),
            vocab_size: tokenizer.vocab_size(),
            text: String::new(),
        }
    }

    /// Takes the next token; returns the text that became certain and whether a stop string came.
    pub fn push(&mut self, id: u32) -> Result<(String, bool)> {
        // A model may have more rows than its tokenizer has tokens; such a row stands for no text.
        let decoded = if (id as usize) < self.vocab_size { self.decoder.push(id)? } else { String::new() };
        Ok(self.pass(&decoded))
    }

    /// Ends the answer; returns the text that was still held back. A stop string may come to light even here.
    pub fn finish(&mut self) -> Result<(String, bool)> {
        let decoded = self.decoder.finish()?;
        let (mut text, stopped) = self.pass(&decoded);
        if !stopped {
            let rest = self.stops.finish();
            self.text.push_str(&rest);
            text.push_str(&rest);
        }
        Ok((text, stopped))
    }

    /// The whole text, once.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn pass(&mut self, decoded: &str) -> (String, bool) {
        let passed = self.stops.push(decoded);
        self.text.push_str(&passed.text);
        (passed.text, passed.stopped)
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
        let mut answer = Answer::new(&tokenizer(), &stops);
        let mut deltas = Vec::new();
        for &id in ids {
            let (text, stopped) = answer.push(id).unwrap();
            deltas.push(text);
            if stopped {
                return (deltas, answer.take_text(), true);
            }
        }
        let (text, stopped) = answer.finish().unwrap();
        deltas.push(text);
        (deltas, answer.take_text(), stopped)
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
}
