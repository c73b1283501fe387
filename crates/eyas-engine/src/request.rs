//! What is asked of a session.

use eyas_core::{Error, GenerateOptions, Message, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The prompt of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// A conversation, which the model's chat template renders.
    Messages(Vec<Message>),
    /// Text, which the tokenizer encodes with its special tokens around it.
    Text(String),
    /// Tokens, taken as they are.
    Ids(Vec<u32>),
}

/// A request, as JavaScript sends it: `{ messages | prompt | promptIds, tools?, templateVariables?, options? }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Request {
    /// What the model continues or answers.
    pub prompt: Prompt,
    /// Tools that the template describes to the model, as JSON Schema.
    pub tools: Option<Value>,
    /// Further variables of the template, e.g. `enable_thinking`.
    pub template_variables: Map<String, Value>,
    /// How the answer is sampled.
    pub options: GenerateOptions,
}

impl Request {
    /// A request with this prompt and these options, and nothing else.
    pub fn new(prompt: Prompt, options: GenerateOptions) -> Self {
        Self { prompt, tools: None, template_variables: Map::new(), options }
    }

    /// Reads a request from JSON; fails with `bad-input` saying what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::bad_input(format!("the request can't be read: {error}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    prompt_ids: Option<Vec<u32>>,
    tools: Option<Value>,
    #[serde(default)]
    template_variables: Map<String, Value>,
    #[serde(default)]
    options: GenerateOptions,
}

impl TryFrom<Wire> for Request {
    type Error = String;

    fn try_from(wire: Wire) -> std::result::Result<Self, String> {
        let prompt = match (wire.messages, wire.prompt, wire.prompt_ids) {
            (Some(messages), None, None) => Prompt::Messages(messages),
            (None, Some(text), None) => Prompt::Text(text),
            (None, None, Some(ids)) => Prompt::Ids(ids),
            (messages, prompt, ids) => {
                let count = usize::from(messages.is_some()) + usize::from(prompt.is_some()) + usize::from(ids.is_some());
                return Err(format!("expected exactly one of messages, prompt and promptIds, found {count} of them"));
            }
        };
        let tools = wire.tools.filter(|tools| !tools.is_null());
        Ok(Self { prompt, tools, template_variables: wire.template_variables, options: wire.options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_javascript_sends() {
        let text =
            r#"{"messages":[{"role":"user","content":"hi"}],"tools":null,"options":{"maxTokens":3},"templateVariables":{"x":1}}"#;
        let request = Request::from_json(text).unwrap();
        assert_eq!(request.prompt, Prompt::Messages(vec![Message::user("hi")]));
        assert_eq!(request.options.max_tokens, Some(3));
        assert_eq!(request.template_variables["x"], 1);
        assert!(request.tools.is_none());
        assert_eq!(Request::from_json(r#"{"promptIds":[1,2]}"#).unwrap().prompt, Prompt::Ids(vec![1, 2]));
    }

    #[test]
    fn both_none_and_unknown_fields_are_bad_input() {
        for text in [
            "{}",
            r#"{"prompt":"a","messages":[]}"#,
            r#"{"prompt":"a","optoins":{}}"#,
            r#"{"prompt":"a","options":{"topK":-1}}"#,
            "[",
        ] {
            assert_eq!(Request::from_json(text).unwrap_err().code(), "bad-input", "{text}");
        }
    }
}
