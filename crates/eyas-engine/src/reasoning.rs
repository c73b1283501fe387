//! Splits what a model thinks, `<think>…</think>` at the beginning of its answer, from what it answers.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Text of an answer by what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Text between the tags.
    pub(crate) reasoning: String,
    /// Text of the answer proper.
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but white space and the beginning of a tag came so far.
    Start,
    /// Behind the opening tag; `true` once there was more than white space.
    Inside(bool),
    /// Behind the closing tag, with nothing but white space since.
    Behind,
    /// In the answer proper.
    Answer,
}

/// Takes text as it becomes certain, however it is cut, and gives the same parts. White space next to the tags belongs to neither part; tags that
/// come later are text.
#[derive(Debug, Clone)]
pub(crate) struct ReasoningSplit {
    place: Place,
    held: String,
}

impl ReasoningSplit {
    /// For an answer to messages; `is_open` where the prompt itself ended with the opening tag.
    pub(crate) fn new(is_open: bool) -> Self {
        Self { place: if is_open { Place::Inside(false) } else { Place::Start }, held: String::new() }
    }

    /// For an answer that is text whatever it says.
    pub(crate) fn off() -> Self {
        Self { place: Place::Answer, held: String::new() }
    }

    /// Whether a prompt ends in the middle of a thought.
    pub(crate) fn is_open_in(prompt: &str) -> bool {
        prompt.trim_end().ends_with(OPEN)
    }

    /// The tags, which tokenizers may have as special tokens.
    pub(crate) fn tags() -> [&'static str; 2] {
        [OPEN, CLOSE]
    }

    /// Takes the next text.
    pub(crate) fn push(&mut self, text: &str) -> Parts {
        self.held.push_str(text);
        let mut parts = Parts::default();
        loop {
            let before = self.place;
            match self.place {
                Place::Start => {
                    let begun = self.held.trim_start();
                    if let Some(rest) = begun.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.place = Place::Inside(false);
                    } else if !OPEN.starts_with(begun) {
                        self.place = Place::Answer;
                    }
                }
                Place::Inside(begun) => {
                    if !begun {
                        self.held.drain(..self.held.len() - self.held.trim_start().len());
                    }
                    let close = self.held.find(CLOSE);
                    let certain = self.held[..close.unwrap_or_else(|| certain(&self.held))].trim_end().len();
                    parts.reasoning.extend(self.held.drain(..certain));
                    self.place = Place::Inside(begun || certain > 0);
                    if let Some(close) = close {
                        self.held.drain(..close - certain + CLOSE.len());
                        self.place = Place::Behind;
                    }
                }
                Place::Behind => {
                    self.held.drain(..self.held.len() - self.held.trim_start().len());
                    if !self.held.is_empty() {
                        self.place = Place::Answer;
                    }
                }
                Place::Answer => parts.text.push_str(&std::mem::take(&mut self.held)),
            }
            if self.place == before {
                return parts;
            }
        }
    }

    /// What was still held back, once the answer has ended.
    pub(crate) fn finish(&mut self) -> Parts {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Inside(_) => Parts { reasoning: held.trim_end().to_owned(), text: String::new() },
            Place::Start | Place::Behind | Place::Answer => Parts { reasoning: String::new(), text: held },
        }
    }
}

/// Bytes of `text` before what may be the beginning of the closing tag.
fn certain(text: &str) -> usize {
    let begins = |start: &usize| CLOSE.starts_with(&text[*start..]);
    text.char_indices().map(|(start, _)| start).find(begins).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(is_open: bool, pieces: &[&str]) -> (String, String) {
        let mut split = ReasoningSplit::new(is_open);
        let mut whole = Parts::default();
        let mut take = |parts: Parts| {
            whole.reasoning.push_str(&parts.reasoning);
            whole.text.push_str(&parts.text);
        };
        for piece in pieces {
            take(split.push(piece));
        }
        take(split.finish());
        (whole.reasoning, whole.text)
    }

    fn pair(reasoning: &str, text: &str) -> (String, String) {
        (reasoning.to_owned(), text.to_owned())
    }

    #[test]
    fn thoughts_are_told_from_the_answer() {
        assert_eq!(split(false, &["<think>\nWell, ", "2.\n</think>\n\nIt is 2. <think>"]), pair("Well, 2.", "It is 2. <think>"));
        assert_eq!(split(false, &["<thi", "nk></think>", "x"]), pair("", "x"));
        assert_eq!(split(true, &["so </thin", "g> ", "</th", "ink> yes"]), pair("so </thing>", "yes"));
        assert_eq!(split(false, &["  <thick>"]), pair("", "  <thick>"));
        assert_eq!(split(false, &["<think>never ended "]), pair("never ended", ""));
        assert_eq!(split(false, &[" <th"]), pair("", " <th"));
        assert_eq!(split(false, &[]), pair("", ""));
    }

    #[test]
    fn an_answer_that_is_only_text_stays_whole() {
        let mut off = ReasoningSplit::off();
        assert_eq!(off.push("<think>a</think> b"), Parts { reasoning: String::new(), text: "<think>a</think> b".into() });
        assert!(ReasoningSplit::is_open_in("<|assistant|>\n<think>\n"));
        assert!(!ReasoningSplit::is_open_in("<think>\n\n</think>\n\n"));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(words in prop::collection::vec(prop::sample::select(vec!["<think>", "</think>", "</th", "<", "a", " ", "\n", "é"]), 0..12), cut in 1usize..4, is_open: bool) {
            let text = words.concat();
            let letters: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = letters.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(split(is_open, &pieces), split(is_open, &[&text]));
        }
    }
}
