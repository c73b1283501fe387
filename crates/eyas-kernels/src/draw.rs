//! What a draw on the device needs to know.

/// How a token is drawn: biases and penalties, then temperature, top-k, top-p, min-p. A value that is off costs nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawSpec {
    /// Logits are divided by it; 0 takes the largest, the lowest id among equals.
    pub temperature: f32,
    /// The k largest are kept; 0 keeps all.
    pub top_k: usize,
    /// The smallest set of the largest is kept whose probabilities sum to at least this; 1 keeps all.
    pub top_p: f32,
    /// Those are kept that are at least this fraction as probable as the largest; 0 keeps all.
    pub min_p: f32,
    /// Divides (positive) or multiplies (negative) the logits of tokens of prompt or answer; 1 is off.
    pub repetition: f32,
    /// Subtracted once for each token of the answer.
    pub presence: f32,
    /// Subtracted for each time that a token is in the answer.
    pub frequency: f32,
}

/// What is added to logits, and which tokens penalties concern.
#[derive(Clone, Copy)]
pub struct Adjustments<'a> {
    /// Tells one answer from another.
    pub answer: u64,
    /// Tokens of that answer so far.
    pub tokens: usize,
    /// For each id a bias, and how often it is in the answer, with [`Adjustments::IN_PROMPT`] where it is in the prompt. It is asked for where
    /// the device does not have it already.
    pub table: &'a dyn Fn() -> Vec<(f32, u32)>,
}

impl Adjustments<'_> {
    /// The bit that says that a token is in the prompt.
    pub const IN_PROMPT: u32 = 1 << 31;
}

impl std::fmt::Debug for Adjustments<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adjustments").field("answer", &self.answer).field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Draws of several tokens in a row.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    /// How.
    pub spec: DrawSpec,
    /// For each token a number in [0, 1) that says where in the probability mass it lies.
    pub units: &'a [f32],
    /// Absent where logits stay as they are.
    pub adjustments: Option<Adjustments<'a>>,
}

/// Who chooses the token that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The most probable, the lowest id among equals.
    Greedy,
    /// Drawn as a [`DrawSpec`] says.
    Drawn,
}
