//! Whether a model that was just loaded answers as it should, before anything relies on it.

use eyas_core::{Error, Event, GenerateOptions, Result};

use crate::{Engine, Prompt, Request};

/// What is continued where nobody says what to expect.
const TEXT: &str = "The sun rises in the";
/// How far the best logit must lie above the second best, for the token to be the same on every device.
const MARGIN: f32 = 0.25;

/// A prompt and the greedy tokens that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedTokens<'a> {
    /// Text that the tokenizer encodes with its special tokens around it.
    pub prompt: &'a str,
    /// The tokens that the model chooses behind it.
    pub ids: &'a [u32],
}

/// Lets the model answer. Without expected tokens, its logits must be finite numbers and it must choose a token.
///
/// # Errors
///
/// `bad-model` where a logit is no finite number or a token is another than expected; what a generation fails with otherwise. The device is not at
/// fault: a load has tried it with a canary.
pub async fn try_answer(engine: &Engine, expected: Option<ExpectedTokens<'_>>) -> Result<()> {
    let text = expected.map_or(TEXT, |expected| expected.prompt);
    let mut ids = engine.encode_prompt(&request(text, 1))?;
    if ids.is_empty() {
        ids.push(0);
    }
    let logits = engine.logits(&ids).await?;
    if let Some(bad) = logits.iter().find(|logit| !logit.is_finite()) {
        return Err(Error::bad_model(format!(
            "the model answers with a logit of {bad}, expected finite numbers; its weights are damaged"
        )));
    }
    let wanted = expected.map_or(1, |expected| expected.ids.len().max(1));
    let found = greedy(engine, text, wanted).await?;
    match expected {
        Some(expected) if found != expected.ids => Err(Error::bad_model(format!(
            "the model answers {:?} with the tokens {found:?}, expected {:?}; it is not what its manifest describes",
            expected.prompt, expected.ids
        ))),
        _ => Ok(()),
    }
}

/// The greedy tokens behind `prompt`, at most `limit`, as far as each is the same on every device: the next best one is well below it.
pub async fn certain_tokens(engine: &Engine, prompt: &str, limit: usize) -> Result<Vec<u32>> {
    let mut found = greedy(engine, prompt, limit).await?;
    let mut ids = engine.encode_prompt(&request(prompt, 1))?;
    let behind_prompt = ids.len();
    ids.extend(&found);
    if behind_prompt == 0 || found.is_empty() {
        return Ok(Vec::new());
    }
    let logits = engine.logits(&ids).await?;
    let rows = logits.chunks_exact(engine.config().vocab_size).skip(behind_prompt - 1);
    let certain = found.iter().zip(rows).take_while(|(id, row)| margin(row, **id as usize) >= MARGIN).count();
    found.truncate(certain);
    Ok(found)
}

/// How far the logit of `id` lies above all others.
fn margin(row: &[f32], id: usize) -> f32 {
    let others = row.iter().enumerate().filter(|(other, _)| *other != id).map(|(_, logit)| *logit);
    row.get(id).copied().unwrap_or(f32::NEG_INFINITY) - others.fold(f32::NEG_INFINITY, f32::max)
}

fn request(prompt: &str, max_tokens: usize) -> Request {
    Request::new(Prompt::Text(prompt.to_owned()), GenerateOptions { max_tokens: Some(max_tokens), ..GenerateOptions::default() })
}

async fn greedy(engine: &Engine, prompt: &str, max_tokens: usize) -> Result<Vec<u32>> {
    let mut generation = engine.session().start(&request(prompt, max_tokens))?;
    loop {
        if let Event::Done(completion) = generation.next().await? {
            return Ok(completion.token_ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::margin;

    #[test]
    #[allow(clippy::float_cmp)]
    fn a_margin_is_that_above_the_best_other() {
        assert_eq!(margin(&[1.0, 4.0, 3.5], 1), 0.5);
        assert_eq!(margin(&[1.0, 4.0, 3.5], 0), -3.0);
        assert!(margin(&[1.0], 3) < 0.0);
    }
}
