//! What the device said and the application has seen.

use crate::Earlier;

/// Text and reasoning that were shown, of this run or of one before it whose device was lost.
#[derive(Debug, Default)]
pub(crate) struct ShownText {
    /// Shown by a run before this one, which this one says again.
    before: String,
    reasoning_before: String,
    text: String,
    reasoning: String,
    is_withdrawn: bool,
}

impl ShownText {
    /// Of a request that may begin anew.
    pub(crate) fn after(earlier: &Earlier) -> Self {
        let Earlier { shown_text, shown_reasoning, .. } = earlier.clone();
        Self { before: shown_text, reasoning_before: shown_reasoning, ..Self::default() }
    }

    pub(crate) fn say(&mut self, text: &str, reasoning: &str) {
        self.text.push_str(text);
        self.reasoning.push_str(reasoning);
    }

    /// Whether the application sees any of it now.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_withdrawn
            && [&self.before, &self.reasoning_before, &self.text, &self.reasoning].iter().any(|text| !text.is_empty())
    }

    /// The application sees none of it any more.
    pub(crate) fn withdraw(&mut self) {
        self.is_withdrawn = true;
    }

    /// The text that the application sees now.
    pub(crate) fn text(&self) -> &str {
        match self.is_withdrawn {
            true => "",
            false if self.text.len() < self.before.len() => &self.before,
            false => &self.text,
        }
    }

    /// Everything that was shown, also what was withdrawn; what is taken does not come again.
    pub(crate) fn take_said(&mut self) -> impl Iterator<Item = String> + use<> {
        [&mut self.before, &mut self.reasoning_before, &mut self.text, &mut self.reasoning]
            .map(std::mem::take)
            .into_iter()
            .filter(|text| !text.is_empty())
    }
}
