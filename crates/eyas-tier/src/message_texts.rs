//! What a message says, wherever in it: the texts by which it is known again.

use eyas_core::Message;
use serde_json::{Map, Value};

/// JSON that is quoted in JSON, and so on, is looked into this deep.
const MOST_QUOTES: u32 = 8;

/// Fields that say how a message is built, not what it says.
const STRUCTURE: [&str; 5] = ["type", "id", "tool_call_id", "name", "index"];

/// A text of a message in the form of [`plain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageText {
    pub(crate) text: String,
    /// Whether it is JSON as a whole, whose names and order say nothing of whoever wrote it; the texts in it come by themselves.
    pub(crate) is_structure: bool,
}

/// The texts of a message, none of them empty: its content, its other fields as a whole, and every text in these, also where JSON is quoted in a text.
pub(crate) fn message_texts(message: &Message) -> Vec<MessageText> {
    let mut texts = Vec::new();
    if let Some(content) = &message.content {
        collect_text(content, MOST_QUOTES, &mut texts);
    }
    let said = message.extra.iter().filter(|(name, _)| !STRUCTURE.contains(&name.as_str()));
    let said: Map<String, Value> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
    if !said.is_empty() {
        let said = Value::Object(said);
        texts.push(MessageText { text: plain(&said.to_string()), is_structure: true });
        collect(&said, MOST_QUOTES, &mut texts);
    }
    texts.retain(|found| !found.text.is_empty());
    texts
}

fn collect_text(text: &str, quotes: u32, texts: &mut Vec<MessageText>) {
    let quoted = text.trim_start().starts_with(['{', '[', '"']).then(|| serde_json::from_str(text).ok()).flatten();
    let quoted = quoted.filter(|_| quotes > 0);
    texts.push(MessageText { text: plain(text), is_structure: quoted.is_some() });
    if let Some(value) = quoted {
        collect(&value, quotes - 1, texts);
    }
}

fn collect(value: &Value, quotes: u32, texts: &mut Vec<MessageText>) {
    match value {
        Value::String(text) => collect_text(text, quotes, texts),
        Value::Array(values) => values.iter().for_each(|value| collect(value, quotes, texts)),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| !STRUCTURE.contains(&name.as_str()));
            fields.for_each(|(_, value)| collect(value, quotes, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The words of a text in lower case, with one space between; where it has none, the text itself.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(word.chars().flat_map(char::to_lowercase));
    }
    if plain.is_empty() { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<String> {
        message_texts(&serde_json::from_str(json).unwrap()).into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn only_what_is_json_as_a_whole_is_structure() {
        let structures = |content: &str| -> Vec<_> {
            message_texts(&Message::user(content)).into_iter().map(|found| (found.text, found.is_structure)).collect()
        };
        assert_eq!(structures(r#"{"a":"b c"}"#), [("a b c".into(), true), ("b c".into(), false)]);
        assert_eq!(structures(r#"{"a":"b c""#), [("a b c".into(), false)]);
        assert_eq!(structures("a b"), [("a b".into(), false)]);
    }

    #[test]
    fn words_count_and_nothing_between_them() {
        assert_eq!(plain("  Grüße,\n> an DEN \"Vogel\"! "), "grüße an den vogel");
        assert_eq!((plain(" ?! \n🐦 ").as_str(), plain(" \n").as_str()), ("?! 🐦", ""));
    }

    #[test]
    fn quoted_json_is_opened_and_structure_is_none() {
        let inner = serde_json::json!({ "note": "a \"b\"\nc", "type": "secret", "n": 5 }).to_string();
        let message = serde_json::json!({ "role": "assistant", "name": "bob", "tool_calls": [{ "id": "x", "function": { "name": "f", "arguments": inner } }] });
        let found = texts(&message.to_string());
        assert!(found.contains(&"a b c".to_owned()), "{found:?}");
        assert!(!found.iter().any(|text| ["x", "f", "bob", "secret"].contains(&text.as_str())), "{found:?}");
        assert!(texts(r#"{"role":"user","content":"","name":"bob"}"#).is_empty());
        assert_eq!(texts(r#"{"role":"tool","content":"[\"one\",\"{\\\"deep\\\":\\\"two\\\"}\"]"}"#).last().unwrap(), "two");
    }

    #[test]
    fn damaged_messages_have_texts_and_no_end() {
        let good = r#"{"a":["b","{\"c\":\"[\\\"d\\\"]\"}"],"id":"e"}"#;
        let mut random = crate::damage::Random(34);
        for _ in 0..crate::damage::runs(20_000) {
            let text = crate::damage::damaged_text(good, &mut random);
            let found = message_texts(&Message::user(&text));
            assert!(
                found.iter().all(|found| !found.text.is_empty() && found.text.len() <= 3 * text.len()),
                "{text:?}: {found:?}"
            );
        }
    }
}
