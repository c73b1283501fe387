//! What a chat template is rendered with.

use serde_json::{Map, Value};

/// Variables of a chat template besides the messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenderOptions {
    /// Tools as a list of JSON schemas, where the model knows tools.
    pub tools: Option<Value>,
    /// Documents for retrieval as a list of objects, where the model knows them.
    pub documents: Option<Value>,
    /// Whether the prompt ends with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// The text of the tokenizer's BOS token.
    pub bos_token: Option<String>,
    /// The text of the tokenizer's EOS token.
    pub eos_token: Option<String>,
    /// Further variables that a template knows, e.g. `enable_thinking` or `date_string`; they win over the ones above.
    pub extra: Map<String, Value>,
    /// The time that `strftime_now` tells, in seconds since 1970-01-01 00:00; add the offset of the person's time zone
    /// for local time. Absent: a template that asks for the time fails with `bad-input`.
    pub now: Option<i64>,
}
