//! Chat messages, as the chat template sees them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One message of a conversation. Fields that only some templates know (`tool_calls`, `name`, …) are kept in `extra`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; null where a message only calls tools.
    #[serde(default)]
    pub content: Option<String>,
    /// Everything else, handed to the template as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message with text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: Some(content.into()), extra: Map::new() }
    }

    /// What the person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let text = r#"{"role":"tool","content":"4","tool_call_id":"x"}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!(message.extra["tool_call_id"], "x");
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
    }
}
