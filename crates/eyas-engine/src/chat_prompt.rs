//! A model's chat template together with the special tokens that it writes.

use eyas_core::{Error, Message, Result, Role};
use eyas_text::{ChatTemplate, RenderOptions, Tokenizer};
use eyas_weights::GgufMetadata;
use serde_json::{Map, Value};

/// The special tokens that templates know, as `tokenizer_config.json` calls them.
const SPECIAL_TOKENS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Turns a conversation into a prompt.
#[derive(Debug, Clone)]
pub struct ChatPrompt {
    template: ChatTemplate,
    special_tokens: Map<String, Value>,
}

impl ChatPrompt {
    /// A template with the special tokens of a `tokenizer_config.json`.
    pub(crate) fn from_config(template: ChatTemplate, config: Option<&Value>) -> Self {
        let text = |key: &str| {
            let entry = config?.get(key)?;
            entry.as_str().or_else(|| entry.get("content")?.as_str()).map(str::to_owned)
        };
        let special_tokens = SPECIAL_TOKENS.iter().filter_map(|key| Some(((*key).to_owned(), text(key)?.into()))).collect();
        Self { template, special_tokens }
    }

    /// A template with the special tokens of a GGUF file.
    pub(crate) fn from_gguf(template: ChatTemplate, metadata: &GgufMetadata) -> Result<Self> {
        let mut special_tokens = Map::new();
        if let Some(tokens) = metadata.get_strings("tokenizer.ggml.tokens")? {
            for (key, id) in [("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"), ("unk_token", "unknown_token_id")] {
                let id = metadata.get_u64(&format!("tokenizer.ggml.{id}"))?.and_then(|id| usize::try_from(id).ok());
                if let Some(token) = id.and_then(|id| tokens.get(id)) {
                    special_tokens.insert(key.to_owned(), (*token).into());
                }
            }
        }
        Ok(Self { template, special_tokens })
    }

    /// Renders a conversation. `variables` win over everything else; `local_seconds` is the time that a template may tell.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        variables: &Map<String, Value>,
        add_generation_prompt: bool,
        local_seconds: Option<i64>,
    ) -> Result<String> {
        if messages.is_empty() {
            return Err(Error::bad_input("messages is empty; expected at least one message"));
        }
        let mut extra = self.special_tokens.clone();
        extra.extend(variables.clone());
        let options =
            RenderOptions { tools: tools.cloned(), add_generation_prompt, extra, now: local_seconds, ..RenderOptions::default() };
        self.template.render(messages, &options)
    }
}

/// The messages with every special token that somebody wrote into them shielded ([`Tokenizer::shield`]), except in what the model itself said,
/// where templates look for such tokens.
pub(crate) fn shielded(tokenizer: &Tokenizer, messages: &[Message]) -> Vec<Message> {
    let text = |text: &str| tokenizer.shield(text).into_owned();
    let shield = |message: &Message| match message.role {
        Role::Assistant => message.clone(),
        Role::System | Role::User | Role::Tool => Message {
            role: message.role.clone(),
            content: message.content.as_deref().map(text),
            extra: message.extra.iter().map(|(key, value)| (key.clone(), shield_value(value, &text))).collect(),
        },
    };
    messages.iter().map(shield).collect()
}

fn shield_value(value: &Value, shield: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(shield(text)),
        Value::Array(list) => list.iter().map(|value| shield_value(value, shield)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shield_value(value, shield))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn special_tokens_come_from_the_configuration_and_variables_win() {
        let template = ChatTemplate::new("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}").unwrap();
        let prompt = ChatPrompt::from_config(template, Some(&json!({ "bos_token": "<s>", "eos_token": { "content": "</s>" } })));
        let rendered =
            |variables: Value| prompt.render(&[Message::user("hi")], None, variables.as_object().unwrap(), true, None).unwrap();
        assert_eq!(rendered(json!({})), "<s>hi</s>");
        assert_eq!(rendered(json!({ "eos_token": "!" })), "<s>hi!");
        assert_eq!(prompt.render(&[], None, &Map::new(), true, None).unwrap_err().code(), "bad-input");
    }
}
