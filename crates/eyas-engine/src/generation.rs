//! An answer in the making: one prefill chunk or one token for each call.

use std::collections::VecDeque;

use eyas_core::{Completion, Error, ErrorKind, Event, FinishReason, Result, TokenLogprob, TokenSignal, TopLogprob, Usage};
use eyas_model::LogitsOf;
use eyas_text::{EncodeOptions, Tokenizer};

use crate::{
    Engine, Request,
    answer::{Answer, Step},
    engine::EncodedPrompt,
    logprobs::{LogSoftmax, largest},
    pace::Pace,
    prompt_lookup::{FIRST_GUESS, PromptLookup},
    sampler::Sampler,
    session::Lease,
    statistics::Statistics,
};

/// An answer in the making. Dropping it stops it and leaves its session with exactly the tokens that were computed.
pub struct Generation {
    engine: Engine,
    lease: Lease,
    /// The prompt and the answer so far.
    sequence: Vec<u32>,
    prompt_tokens: usize,
    cached_tokens: usize,
    max_tokens: usize,
    top_logprobs: Option<usize>,
    signals: Option<Vec<TokenSignal>>,
    /// The tokens that each label may begin with, where the answer should be one of them.
    labels: Vec<Vec<u32>>,
    seed: u64,
    sampler: Sampler,
    answer: Answer,
    logits: Option<Vec<f32>>, // [vocab], of the last token of `sequence`
    lookup: PromptLookup,
    /// Tokens that were guessed behind the last of `sequence` and computed with it, each with its logits.
    guessed: VecDeque<(u32, Vec<f32>)>,
    /// Tokens of the guess under way that came true.
    came_true: usize,
    /// Tokens that the device chose ahead, behind the last of `sequence`.
    ahead: VecDeque<u32>,
    pace: Pace,
    #[cfg(feature = "gpu")]
    device_guesses: crate::device_guesses::DeviceGuesses,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
    is_over: bool,
    statistics: Statistics,
}

impl Generation {
    /// Checks the whole request before it borrows the session's cache.
    pub(crate) fn new(engine: Engine, request: &Request, lend: impl FnOnce() -> Result<Lease>) -> Result<Self> {
        let statistics = Statistics::start(engine.now_ms());
        let options = &request.options;
        options.validate()?;
        let EncodedPrompt { ids: sequence, split } = engine.begin(request)?;
        let prompt_tokens = sequence.len();
        let max_tokens = room(prompt_tokens, options.max_tokens, engine.context_tokens())?;
        let seed = options.seed.unwrap_or_else(|| engine.fresh_seed());
        let sampler = Sampler::new(options, &sequence, engine.config().vocab_size, seed)?.without(engine.unknown_ids());
        let answer = Answer::new(engine.tokenizer(), &options.stop, split);

        // A GPU's step with guesses takes as long with few of them.
        let most_guessed = options.prompt_lookup_tokens;
        let first_guess = if engine.decoder().device().is_gpu() { most_guessed } else { FIRST_GUESS };
        let mut lease = lend()?;
        let cached_tokens = lease.keep_prefix(engine.decoder(), &sequence);
        #[cfg(feature = "gpu")]
        let device_guesses = crate::device_guesses::DeviceGuesses::new(engine.guess_cost());

        Ok(Self {
            engine,
            lease,
            sequence,
            prompt_tokens,
            cached_tokens,
            #[cfg(feature = "gpu")]
            device_guesses,
            max_tokens,
            top_logprobs: options.logprobs.then_some(options.top_logprobs),
            signals: None,
            labels: Vec::new(),
            seed,
            sampler,
            answer,
            logits: None,
            lookup: PromptLookup::new(most_guessed, first_guess),
            guessed: VecDeque::new(),
            came_true: 0,
            ahead: VecDeque::new(),
            pace: Pace::default(),
            logprobs: Vec::new(),
            finish: None,
            is_over: false,
            statistics,
        })
    }

    /// The next event: [`Event::Prefill`] for each chunk of the prompt, [`Event::Delta`] for each token, [`Event::Done`] once at the
    /// end. The texts of all deltas together are the completion's text. Fails with `bad-input` after the end.
    pub async fn next(&mut self) -> Result<Event> {
        if self.is_over {
            return Err(Error::bad_input("the answer is complete; start another one"));
        }
        if let Some(finish) = self.finish {
            self.is_over = true;
            return Ok(Event::Done(Box::new(self.completion(finish))));
        }
        if let Some(token_id) = self.ahead.pop_front() {
            return self.take(token_id);
        }
        let places = self.places_ahead();
        if places > 0 {
            #[cfg(feature = "gpu")]
            if let Some(guess) = self.guess_for_device(places) {
                return self.decode_guessed(guess).await;
            }
            return self.decode_ahead(places.min(self.pace.tokens_in_flight())).await;
        }
        while self.logits.is_none() {
            let done_tokens = self.compute().await?;
            // Where the frequencies of long sequences begin within an answer, all of it is computed again, which is no news.
            if self.sequence.len() == self.prompt_tokens {
                return Ok(Event::Prefill { done_tokens, total_tokens: self.prompt_tokens });
            }
        }
        self.choose()
    }

    /// From now on keeps what each token says about its certainty.
    pub fn watch_signals(&mut self) {
        self.signals.get_or_insert_default();
    }

    /// As [`Generation::watch_signals`], for an answer that should be one of these labels: the margin of its first token is that among them.
    pub fn watch_labels(&mut self, labels: &[String]) -> Result<()> {
        self.watch_signals();
        self.labels = first_tokens(self.engine.tokenizer(), labels)?;
        Ok(())
    }

    /// What each token since [`Generation::watch_signals`] said about its certainty.
    pub fn signals(&self) -> &[TokenSignal] {
        self.signals.as_deref().unwrap_or_default()
    }

    /// Tokens of the prompt that are not in the session's cache.
    pub fn pending_tokens(&self) -> usize {
        self.prompt_tokens - self.cached_tokens
    }

    /// Computes the next chunk of what is not computed yet, and returns how many tokens are.
    async fn compute(&mut self) -> Result<usize> {
        let cache = self.lease.cache(&self.engine).await?;
        cache.prepare(self.engine.decoder(), self.sequence.len());
        let done = cache.ids().len();
        let end = self.sequence.len().min(done + self.engine.prefill_chunk_tokens());
        let is_last = end == self.sequence.len();
        if is_last && done + 1 == end && end > self.prompt_tokens {
            return self.compute_token().await;
        }
        let of = if is_last { LogitsOf::Last } else { LogitsOf::Nothing };
        let logits = cache.extend(self.engine.decoder(), &self.sequence[done..end], of).await?;
        if is_last {
            self.logits = Some(logits);
            if end == self.prompt_tokens {
                self.statistics.prefilled(self.engine.now_ms());
            }
        }
        Ok(end)
    }

    /// Computes the last token, and with it those that may follow it.
    async fn compute_token(&mut self) -> Result<usize> {
        let end = self.sequence.len();
        let guess = self.lookup.guess(&self.sequence, self.room_for_guesses());
        let cache = self.lease.cache(&self.engine).await?;
        let last = self.sequence[end - 1];
        if guess.is_empty() {
            self.logits = Some(cache.extend(self.engine.decoder(), &[last], LogitsOf::Last).await?);
            return Ok(end);
        }
        let ids: Vec<u32> = [last].into_iter().chain(guess.iter().copied()).collect();
        let logits = cache.extend(self.engine.decoder(), &ids, LogitsOf::All).await?;
        let mut rows = logits.chunks_exact(self.engine.config().vocab_size).map(<[f32]>::to_vec);
        self.logits = rows.next();
        self.guessed = guess.into_iter().zip(rows).collect();
        self.came_true = 0;
        Ok(end)
    }

    /// How many guessed tokens may be computed with the last one on the CPU. A GPU takes guesses where it chooses tokens itself; its other steps of several
    /// tokens round otherwise than those of one.
    fn room_for_guesses(&self) -> usize {
        let decoder = self.engine.decoder();
        let length = self.sequence.len();
        if decoder.device().is_gpu() {
            return 0;
        }
        let answer = self.max_tokens - (length - self.prompt_tokens);
        let context = self.engine.context_tokens() - length;
        let short =
            decoder.config().rope.switch_at().filter(|switch| length <= *switch).map_or(usize::MAX, |switch| switch - length);
        answer.saturating_sub(1).min(context).min(short).min(self.engine.prefill_chunk_tokens() - 1)
    }

    /// Uses what was computed for a token that was guessed, or forgets it where another one was chosen.
    fn judge_guess(&mut self, token_id: u32) {
        let Some((guess, logits)) = self.guessed.pop_front() else { return };
        let is_true = guess == token_id;
        self.came_true += usize::from(is_true);
        if is_true && !self.guessed.is_empty() {
            self.logits = Some(logits);
            return;
        }
        self.lookup.judged(
            self.came_true + self.guessed.len() + usize::from(!is_true),
            self.came_true,
            self.sequence.len(),
            self.came_true > 0,
        );
        if is_true {
            self.logits = Some(logits);
        }
        self.forget_guesses();
    }

    /// Leaves in the session's cache only what belongs to the sequence.
    fn forget_guesses(&mut self) {
        self.guessed.clear();
        self.lease.truncate(self.sequence.len() - usize::from(self.logits.is_none()));
    }

    /// How many tokens the device may choose by itself now at most; 0 where the host must.
    fn places_ahead(&self) -> usize {
        let answered = self.sequence.len() - self.prompt_tokens;
        let needs_logits = self.top_logprobs.is_some() || self.signals.is_some();
        if self.logits.is_some() || answered == 0 || needs_logits {
            return 0;
        }
        let computed = self.lease.cached_ids().len();
        if computed + 1 != self.sequence.len() || !self.sequence.starts_with(self.lease.cached_ids()) {
            return 0;
        }
        let decoder = self.engine.decoder();
        // At the length where the rotary frequencies change, everything is computed again, which `compute` does.
        let room =
            decoder.config().rope.switch_at().filter(|switch| computed <= *switch).map_or(usize::MAX, |switch| switch - computed);
        decoder.most_in_flight().min(self.max_tokens - answered).min(room)
    }

    /// What may follow, with the last token in so many places, where computing it as a guess is worth it.
    #[cfg(feature = "gpu")]
    fn guess_for_device(&self, places: usize) -> Option<Vec<u32>> {
        let guess = self.expected(places)?;
        self.device_guesses.is_worth(guess.len(), self.pace.token_ms()).then_some(guess)
    }

    /// What may follow, with the last token in so many places of a step with guesses.
    #[cfg(feature = "gpu")]
    fn expected(&self, places: usize) -> Option<Vec<u32>> {
        let room = self.lease.most_guessed(self.engine.decoder()).min(places.min(self.engine.prefill_chunk_tokens()) - 1);
        let guess = if self.sampler.is_plain_greedy() { self.lookup.guess(&self.sequence, room) } else { Vec::new() };
        (!guess.is_empty()).then_some(guess)
    }

    /// Computes the last token and a guess on the device.
    #[cfg(feature = "gpu")]
    async fn decode_guessed(&mut self, guess: Vec<u32>) -> Result<Event> {
        let started_ms = self.engine.now_ms();
        let decoder = self.engine.decoder();
        let cache = self.lease.cache(&self.engine).await?;
        let (is_used_to, last) = (cache.is_used_to_guesses(decoder, guess.len()), self.sequence[self.sequence.len() - 1]);
        let picked = cache.decode_guessed(decoder, last, &guess).await?;
        if is_used_to {
            self.device_guesses.measured(self.engine.now_ms() - started_ms);
        }
        if cache.most_guessed(decoder) > 0 {
            // What follows an end is no part of the answer.
            let end = picked.iter().position(|id| self.engine.is_end_token(*id)).map_or(picked.len(), |at| at + 1);
            let came_true = end.min(picked.len().saturating_sub(1));
            let has_paid = self.device_guesses.has_paid(came_true, self.pace.token_ms());
            self.lookup.judged(guess.len(), came_true, self.sequence.len() + picked.len(), has_paid);
        }
        self.take_first(picked)
    }

    /// Goes on with tokens that the device chose.
    fn take_first(&mut self, picked: Vec<u32>) -> Result<Event> {
        self.ahead.extend(picked);
        match self.ahead.pop_front() {
            Some(token_id) => self.take(token_id),
            None => Err(Error::internal("the device chose no token")),
        }
    }

    async fn decode_ahead(&mut self, count: usize) -> Result<Event> {
        let started_ms = self.engine.now_ms();
        let cache = self.lease.cache(&self.engine).await?;
        let last = self.sequence[self.sequence.len() - 1];
        let picked = if self.sampler.is_plain_greedy() {
            cache.decode_ahead(self.engine.decoder(), last, count, None).await?
        } else {
            let units = self.sampler.units(count);
            let table = || self.sampler.adjustment_table();
            let picked =
                cache.decode_ahead(self.engine.decoder(), last, count, Some(&self.sampler.draws(&units, &table))).await?;
            self.sampler.accept_ahead(&picked);
            picked
        };
        self.pace.measured((self.engine.now_ms() - started_ms) / count as f64);
        #[cfg(feature = "gpu")]
        if let Some(guess) = self.expected(usize::MAX) {
            self.device_guesses.compared(&guess, &picked);
        }
        self.take_first(picked)
    }

    /// Chooses a token from the logits at hand.
    fn choose(&mut self) -> Result<Event> {
        let logits =
            self.logits.as_ref().ok_or_else(|| Error::internal("a token was to be chosen before its logits were there"))?;
        let token_id = self.sampler.sample(logits)?;
        if let Some(count) = self.top_logprobs {
            self.logprobs.push(report(&self.engine, logits, token_id, count));
        }
        if let Some(signals) = &mut self.signals {
            let mut signal = TokenSignal::of(logits, token_id);
            if signals.is_empty() && !self.labels.is_empty() {
                signal.margin = TokenSignal::margin_among(logits, &self.labels);
            }
            signals.push(signal);
        }
        self.logits = None;
        self.take(token_id)
    }

    /// Makes a chosen token part of the answer.
    fn take(&mut self, token_id: u32) -> Result<Event> {
        self.sequence.push(token_id);
        self.statistics.token(self.engine.now_ms());
        self.judge_guess(token_id);

        let is_end = self.engine.is_end_token(token_id);
        let is_full = self.sequence.len() - self.prompt_tokens >= self.max_tokens;
        let mut step = if is_end { Step::default() } else { self.answer.push(token_id)? };
        if (is_end || is_full) && !step.stopped {
            let rest = self.answer.finish()?;
            step.text.push_str(&rest.text);
            step.reasoning.push_str(&rest.reasoning);
            step.stopped = rest.stopped;
        }
        if is_end || step.stopped {
            self.finish = Some(FinishReason::Stop);
        } else if is_full {
            self.finish = Some(FinishReason::Length);
        }
        Ok(Event::Delta { text: step.text, reasoning: step.reasoning, token_id })
    }

    fn completion(&mut self, finish_reason: FinishReason) -> Completion {
        let token_ids = self.sequence[self.prompt_tokens..].to_vec();
        let (text, reasoning) = self.answer.take();
        let (drafted_tokens, accepted_tokens) = self.lookup.counts();
        Completion {
            text,
            reasoning,
            usage: Usage {
                prompt_tokens: self.prompt_tokens,
                cached_tokens: self.cached_tokens,
                completion_tokens: token_ids.len(),
                drafted_tokens,
                accepted_tokens,
            },
            token_ids,
            finish_reason,
            timing: self.statistics.timing(),
            provenance: self.engine.provenance(),
            logprobs: std::mem::take(&mut self.logprobs),
            seed: self.seed,
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.guessed.is_empty() {
            self.forget_guesses();
        }
    }
}

/// Tokens that the answer may have; `context-overflow` where prompt and answer don't fit.
fn room(prompt_tokens: usize, max_tokens: Option<usize>, context_tokens: usize) -> Result<usize> {
    let answer_tokens = max_tokens.unwrap_or(1);
    if prompt_tokens.saturating_add(answer_tokens) <= context_tokens {
        return Ok(max_tokens.unwrap_or(context_tokens - prompt_tokens));
    }
    let asked = if max_tokens.is_some() { "maxTokens asks for" } else { "the answer needs at least" };
    let detail = format!(
        "the prompt has {prompt_tokens} tokens and {asked} {answer_tokens} more, but the context holds {context_tokens}; \
         shorten the prompt, lower maxTokens, or load the model with more contextTokens"
    );
    Err(Error::new(ErrorKind::ContextOverflow, detail))
}

/// The tokens that each label may begin with: as a text's first word, and as a word within one. What all labels may begin with (a space of its own) tells
/// them not apart, and is left out where something is left.
fn first_tokens(tokenizer: &Tokenizer, labels: &[String]) -> Result<Vec<Vec<u32>>> {
    let options = EncodeOptions { add_special: false, parse_special: false };
    let first = |text: &str| tokenizer.encode(text, options).map(|ids| ids.first().copied());
    let both = labels.iter().map(|label| Ok([first(label)?, first(&format!(" {label}"))?].into_iter().flatten().collect()));
    let both: Vec<Vec<u32>> = both.collect::<Result<_>>()?;
    let is_shared = |id: &u32| both.iter().all(|ids| ids.contains(id));
    let own: Vec<Vec<u32>> = both.iter().map(|ids| ids.iter().copied().filter(|id| !is_shared(id)).collect()).collect();
    Ok(if own.iter().all(Vec::is_empty) { both } else { own })
}

fn report(engine: &Engine, logits: &[f32], id: u32, count: usize) -> TokenLogprob {
    let log_softmax = LogSoftmax::new(logits);
    let text = |id| engine.tokenizer().token_text(id);
    let alternative = |id| TopLogprob { id, text: text(id), logprob: log_softmax.of(id) };
    let top = largest(logits, count).into_iter().map(alternative).collect();
    TokenLogprob { id, text: text(id), logprob: log_softmax.of(id), top }
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn the_answer_fills_the_context_or_overflows_before_any_work() {
        assert_eq!(room(10, None, 16).unwrap(), 6);
        assert_eq!(room(10, Some(6), 16).unwrap(), 6);
        let error = room(10, Some(7), 16).unwrap_err();
        assert_eq!(error.code(), "context-overflow");
        assert!(error.detail().contains("10 tokens") && error.detail().contains("holds 16"), "{error}");
        assert_eq!(room(16, None, 16).unwrap_err().code(), "context-overflow");
        assert_eq!(room(1, Some(usize::MAX), 16).unwrap_err().code(), "context-overflow");
    }
}
