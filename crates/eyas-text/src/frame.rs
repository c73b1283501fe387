//! The post-processor of a `tokenizer.json`: the ids before and after a text.
//!
//! Of a template only the form for a single text counts, and of all kinds only what they do to ids; offsets don't exist here.

use eyas_core::{Error, Result};
use serde_json::Value;

use crate::part::Part;

/// What stands around a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: Vec<u32>,
    pub(crate) after: Vec<u32>,
}

/// Reads a post-processor; null does nothing.
pub(crate) fn read(value: &Value) -> Result<Frame> {
    let mut frame = Frame::default();
    if !value.is_null() {
        frame.wrap(Part::new("post_processor", value)?)?;
    }
    Ok(frame)
}

impl Frame {
    /// Puts what a part adds around what is there.
    fn wrap(&mut self, part: Part<'_>) -> Result<()> {
        match part.kind {
            "ByteLevel" => Ok(()),
            "BertProcessing" | "RobertaProcessing" => {
                self.before.insert(0, token(part, "cls")?);
                self.after.push(token(part, "sep")?);
                Ok(())
            }
            "Sequence" => part.parts("processors")?.into_iter().try_for_each(|inner| self.wrap(inner)),
            "TemplateProcessing" => self.wrap_template(part),
            _ => Err(part.unsupported()),
        }
    }

    fn wrap_template(&mut self, part: Part<'_>) -> Result<()> {
        let (mut before, mut is_behind) = (Vec::new(), false);
        for piece in part.list("single")? {
            if let Some(id) = piece.get("SpecialToken").and_then(|token| token.get("id")?.as_str()) {
                let token = part.get("special_tokens").and_then(|tokens| tokens.get(id));
                let ids = token.and_then(|token| token.get("ids")?.as_array()).ok_or_else(|| part.bad("special_tokens"))?;
                let ids =
                    ids.iter().map(|id| number(id).ok_or_else(|| part.bad("special_tokens"))).collect::<Result<Vec<_>>>()?;
                if is_behind { &mut self.after } else { &mut before }.extend(ids);
            } else if piece.get("Sequence").and_then(|sequence| sequence.get("id")?.as_str()) == Some("A") && !is_behind {
                is_behind = true;
            } else {
                return Err(Error::unsupported(
                    "tokenizer.json has a template that does not hold the text exactly once, which is not supported",
                ));
            }
        }
        if !is_behind {
            return Err(part.bad("single"));
        }
        before.append(&mut self.before);
        self.before = before;
        Ok(())
    }
}

/// The id in a field like `["[SEP]", 102]`.
fn token(part: Part<'_>, key: &str) -> Result<u32> {
    match part.list(key)? {
        [Value::String(_), id] => number(id).ok_or_else(|| part.bad(key)),
        _ => Err(part.bad(key)),
    }
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_put_around_each_other() {
        let bert = json!({"type": "BertProcessing", "cls": ["[CLS]", 101], "sep": ["[SEP]", 102]});
        assert_eq!(read(&bert).unwrap(), Frame { before: vec![101], after: vec![102] });
        let template = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1, 2], "tokens": ["<", "s>"]}, "</s>": {"id": "</s>", "ids": [3], "tokens": ["</s>"]}}});
        let sequence = json!({"type": "Sequence", "processors": [bert, {"type": "ByteLevel"}, template]});
        assert_eq!(read(&sequence).unwrap(), Frame { before: vec![1, 2, 101], after: vec![102, 3] });
        assert_eq!(read(&Value::Null).unwrap(), Frame::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let template = |single: Value| json!({"type": "TemplateProcessing", "single": single, "special_tokens": {}});
        let a = json!({"Sequence": {"id": "A"}});
        let codes = [
            (template(json!([a])), None),
            (template(json!([])), Some("bad-model")),
            (template(json!([a, {"SpecialToken": {"id": "x"}}])), Some("bad-model")),
            (template(json!([a, a])), Some("unsupported-model")),
            (template(json!([{"Sequence": {"id": "B"}}])), Some("unsupported-model")),
            (json!({"type": "BertProcessing", "cls": ["x", -1], "sep": ["y", 1]}), Some("bad-model")),
            (json!({"type": "Quux"}), Some("unsupported-model")),
            (json!({}), Some("bad-model")),
        ];
        for (value, code) in codes {
            assert_eq!(read(&value).err().map(|error| error.code().to_owned()).as_deref(), code, "{value}");
        }
    }
}
