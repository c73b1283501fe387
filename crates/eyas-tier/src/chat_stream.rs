//! What an OpenAI-compatible server answers, event by event.

use eyas_core::{Error, ErrorKind, FinishReason, Result};
use serde_json::Value;

/// What the events of a stream have told so far.
#[derive(Debug, Default)]
pub(crate) struct ChatStream {
    pub(crate) finish: Option<FinishReason>,
    /// `[DONE]` came.
    pub(crate) is_done: bool,
    pub(crate) prompt_tokens: Option<usize>,
    pub(crate) completion_tokens: Option<usize>,
    /// Events that said something, in text or in thoughts: servers send one for each token, or for several.
    pub(crate) pieces: usize,
    /// The model that the server says answered.
    pub(crate) model: Option<String>,
    /// Why the model would not answer, in its own words.
    refusal: String,
}

impl ChatStream {
    /// Takes the data of one event and returns its text, which may be empty. Fails with `cloud-refused` where the server reports an error,
    /// ends the answer for another reason than its end or length, or sends what is no event of this protocol.
    pub(crate) fn event(&mut self, data: &str) -> Result<String> {
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(String::new());
        }
        let event: Value = serde_json::from_str(data).map_err(|_| not_the_protocol("an event that is no JSON"))?;
        self.object(&event, "delta")
    }

    /// Takes a whole answer of a server that does not stream.
    pub(crate) fn whole(&mut self, body: &[u8]) -> Result<String> {
        let object: Value = serde_json::from_slice(body).map_err(|_| not_the_protocol("an answer that is no JSON"))?;
        self.object(&object, "message")
    }

    fn object(&mut self, object: &Value, message: &str) -> Result<String> {
        if let Some(error) = object.get("error").filter(|error| !error.is_null()) {
            return Err(Error::new(ErrorKind::CloudRefused, format!("the cloud reported an error: {}", error_text(error))));
        }
        let usage = object.get("usage").filter(|usage| usage.is_object());
        if let Some(usage) = usage {
            let count = |name: &str| usage.get(name).and_then(Value::as_u64).map(|count| count as usize);
            self.prompt_tokens = count("prompt_tokens").or(self.prompt_tokens);
            self.completion_tokens = count("completion_tokens").or(self.completion_tokens);
        }
        if let Some(model) = object.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()) {
            self.model = Some(model.to_owned());
        }
        let Some(choices) = object.get("choices").and_then(Value::as_array) else {
            return if usage.is_some() { Ok(String::new()) } else { Err(not_the_protocol("an event without choices")) };
        };
        // One choice was asked for; a usage event has none.
        let Some(choice) = choices.iter().find(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0) else {
            return Ok(String::new());
        };
        let said = choice.get(message);
        if let Some(refusal) = said.and_then(|said| said.get("refusal")).and_then(Value::as_str) {
            self.refusal.push_str(refusal);
        }
        let has = |name: &str| said.and_then(|said| said.get(name)).is_some_and(says_something);
        self.pieces += usize::from(["content", "refusal", "reasoning", "reasoning_content"].into_iter().any(has));
        let text = said.and_then(|said| said.get("content")).map_or(Ok(String::new()), |content| self.content(content))?;
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
            self.finish = Some(self.finish_reason(reason)?);
        }
        Ok(text)
    }

    /// Whether the server has written or counted anything that could be charged for.
    pub(crate) fn has_output(&self) -> bool {
        self.pieces > 0 || self.completion_tokens.is_some_and(|tokens| tokens > 0)
    }

    /// A text, or a list of parts as newer servers send it.
    fn content(&mut self, content: &Value) -> Result<String> {
        let Some(parts) = content.as_array() else { return Ok(content.as_str().unwrap_or_default().to_owned()) };
        let mut text = String::new();
        for part in parts {
            let field = |name: &str| part.get(name).and_then(Value::as_str);
            match (part.as_str(), field("type")) {
                (Some(part), _) => text.push_str(part),
                (None, Some("text" | "output_text")) => text.push_str(field("text").unwrap_or_default()),
                (None, Some("refusal")) => self.refusal.push_str(field("refusal").unwrap_or_default()),
                (None, Some("thinking" | "reasoning")) => {}
                (None, other) => return Err(not_the_protocol(&format!("a part of type {:?}", clipped(other.unwrap_or("none"))))),
            }
        }
        Ok(text)
    }

    fn finish_reason(&self, reason: &str) -> Result<FinishReason> {
        match reason.to_ascii_lowercase().as_str() {
            "stop" | "eos" | "end_turn" | "stop_sequence" | "eos_token" => Ok(FinishReason::Stop),
            "length" | "max_tokens" | "model_length" => Ok(FinishReason::Length),
            "content_filter" | "refusal" | "safety" => Err(self.declined(&format!("finish reason {}", clipped(reason)))),
            _ => {
                let detail =
                    format!("the cloud ended the answer for the reason {:?}, which is no end of a text", clipped(reason));
                Err(Error::new(ErrorKind::CloudRefused, detail))
            }
        }
    }

    fn declined(&self, how: &str) -> Error {
        let words = if self.refusal.is_empty() { how.to_owned() } else { clipped(&self.refusal) };
        Error::new(ErrorKind::CloudRefused, format!("the cloud's model declined to answer: {words}"))
    }

    /// Fails with `cloud-refused` where the model would not answer: that is no answer without text.
    pub(crate) fn check_refusal(&self) -> Result<()> {
        if self.refusal.is_empty() { Ok(()) } else { Err(self.declined("refusal")) }
    }
}

/// Whether a field of a message holds any text.
fn says_something(field: &Value) -> bool {
    match field {
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        _ => false,
    }
}

/// What an error says: its message, else its code or type.
pub(crate) fn error_text(error: &Value) -> String {
    let field = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // Servers on FastAPI list what is wrong with each field.
    let first = error.get(0).and_then(|first| first.get("msg")).and_then(Value::as_str);
    let text = error.as_str().or_else(|| field("message")).or_else(|| field("code")).or_else(|| field("type")).or(first);
    clipped(text.unwrap_or("no message"))
}

/// What the body of an error status says, if it says anything.
pub(crate) fn error_body_text(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("error").or_else(|| body.get("detail")).filter(|error| !error.is_null()).map(error_text)
}

fn clipped(text: &str) -> String {
    const MOST: usize = 300;
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MOST).collect()
}

fn not_the_protocol(what: &str) -> Error {
    let hint = "is the endpoint the base address of an OpenAI-compatible server?";
    Error::new(ErrorKind::CloudRefused, format!("the cloud sent {what}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_finish_usage_and_done() {
        let mut stream = ChatStream::default();
        let mut text = String::new();
        for data in [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"model":"m"}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#,
            r#"{"choices":[{"delta":{"content":"b"},"finish_reason":"length"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            "[DONE]",
        ] {
            text += &stream.event(data).unwrap();
        }
        assert_eq!((text.as_str(), stream.finish, stream.is_done), ("ab", Some(FinishReason::Length), true));
        assert_eq!((stream.prompt_tokens, stream.completion_tokens, stream.model.as_deref()), (Some(3), Some(2), Some("m")));
    }

    #[test]
    fn damaged_events_are_texts_or_refusals() {
        let good = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3},"error":null,"model":"m"}"#;
        let (mut random, mut read) = (crate::damage::Random(33), 0);
        for _ in 0..crate::damage::runs(30_000) {
            let data = crate::damage::damaged_text(good, &mut random);
            let mut stream = ChatStream::default();
            match stream.event(&data) {
                Ok(text) => read += usize::from(!text.is_empty()),
                Err(error) => assert_eq!(error.code(), "cloud-refused", "{data}"),
            }
            let _ = stream.whole(data.as_bytes());
            error_body_text(data.as_bytes());
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn errors_and_nonsense_are_refusals() {
        for (data, expected) in [
            (r#"{"error":{"message":"over\nloaded","code":529}}"#, "over loaded"),
            (r#"{"error":"plain"}"#, "plain"),
            ("<html>", "no JSON"),
            ("[]", "without choices"),
            (r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#, "content_filter"),
            (r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#, "tool_calls"),
        ] {
            let error = ChatStream::default().event(data).unwrap_err();
            assert!(error.code() == "cloud-refused" && error.detail().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_whole_answer_is_taken_too() {
        let mut stream = ChatStream::default();
        let body = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
        assert_eq!(stream.whole(body).unwrap(), "hi");
        assert_eq!(stream.finish, Some(FinishReason::Stop));
        assert_eq!(error_body_text(br#"{"error":{"message":"no"}}"#).as_deref(), Some("no"));
        assert_eq!(error_body_text(b"<html>"), None);
    }
}
