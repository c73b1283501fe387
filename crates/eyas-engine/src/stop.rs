//! Strings that end an answer, found across token borders.

/// Text after a step, and whether a stop string ended it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Text that is certainly part of the answer.
    pub text: String,
    /// Whether a stop string came; the answer ended before it.
    pub stopped: bool,
}

/// Holds back text that may be the beginning of a stop string.
///
/// The stop string that is complete first ends the answer (of two that are complete at the same character, the longer one), so how
/// the text is cut into tokens makes no difference.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    /// A matcher for `stops`, none of which is empty.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), held: String::new() }
    }

    /// Takes the next text of the answer.
    pub fn push(&mut self, text: &str) -> Passed {
        if self.stops.is_empty() {
            return Passed { text: text.to_owned(), stopped: false };
        }
        self.held.push_str(text);
        let first =
            self.stops.iter().filter_map(|stop| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start))).min();
        if let Some((_, start)) = first {
            self.held.truncate(start);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let certain = self.held.len() - self.longest_beginning();
        let rest = self.held.split_off(certain);
        Passed { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text that was still held back, once the answer has ended otherwise.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes of the longest end of the held text that begins a stop string.
    fn longest_beginning(&self) -> usize {
        let begins = |start: usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[start..]));
        self.held.char_indices().find(|(start, _)| begins(*start)).map_or(0, |(start, _)| self.held.len() - start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut matcher = StopStrings::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let passed = matcher.push(piece);
            text.push_str(&passed.text);
            if passed.stopped {
                return (text, true);
            }
        }
        text.push_str(&matcher.finish());
        (text, false)
    }

    #[test]
    fn a_stop_string_over_three_tokens_ends_the_text_before_it() {
        assert_eq!(run(&["STOP"], &["go S", "TO", "P now"]), ("go ".into(), true));
    }

    #[test]
    fn a_beginning_that_leads_nowhere_comes_out() {
        let mut matcher = StopStrings::new(&["STOP".into()]);
        assert_eq!(matcher.push("a ST").text, "a ");
        assert_eq!(matcher.push("AR").text, "STAR");
        assert_eq!(run(&["STOP"], &["a ", "STO"]), ("a STO".into(), false));
    }

    #[test]
    fn a_repeated_beginning_is_not_skipped() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
    }

    #[test]
    fn the_one_complete_first_wins_and_among_those_the_longer() {
        assert_eq!(run(&["abcd", "bc"], &["xabcd"]), ("xa".into(), true));
        assert_eq!(run(&["c", "abc"], &["xabc"]), ("x".into(), true));
    }

    #[test]
    fn characters_of_several_bytes_are_whole() {
        assert_eq!(run(&["é!"], &["caf", "é", "é!"]), ("café".into(), true));
    }

    proptest! {
        #[test]
        fn cutting_makes_no_difference(text in "[abé]{0,24}", stops in prop::collection::vec("[abé]{1,4}", 0..4), cuts in prop::collection::vec(1_usize..5, 0..24)) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let characters: Vec<char> = text.chars().collect();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = (at + cut).min(characters.len());
                pieces.push(characters[at..end].iter().collect::<String>());
                at = end;
            }
            pieces.push(characters[at..].iter().collect::<String>());
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = run(&stops, &[&text]);
            prop_assert_eq!(run(&stops, &pieces), whole.clone());
            prop_assert_eq!(whole.1, stops.iter().any(|stop| text.contains(stop)));
        }
    }
}
