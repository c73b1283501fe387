//! How two texts become one sequence: the pair's form in the post-processor of a `tokenizer.json`.

use eyas_core::{Error, Result};
use serde_json::Value;

use crate::part::Part;

/// Two texts as one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPair {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// The type of each token, as many.
    pub types: Vec<u32>,
    /// Tokens at the ends of the texts that did not fit.
    pub left_out: usize,
}

/// Something that stands in a pair's sequence, and the type of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    what: What,
    of_type: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Special(Vec<u32>),
    First,
    Second,
}

/// The form of a pair.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PairFrame(Vec<Piece>);

/// Reads a post-processor; `None` where it says nothing usable about pairs, which single texts do not need.
pub(crate) fn read(value: &Value) -> Option<PairFrame> {
    Part::new("post_processor", value).ok().and_then(of_part)
}

fn of_part(part: Part<'_>) -> Option<PairFrame> {
    let special = |key: &str| match part.list(key).ok()? {
        [Value::String(_), id] => number(id),
        _ => None,
    };
    match part.kind {
        "BertProcessing" => Some(PairFrame::bert(special("cls")?, special("sep")?)),
        "RobertaProcessing" => Some(PairFrame::roberta(special("cls")?, special("sep")?)),
        "TemplateProcessing" => of_template(part),
        "Sequence" => {
            let parts = part.parts("processors").ok()?;
            let mut others = parts.into_iter().filter(|inner| inner.kind != "ByteLevel");
            let only = others.next()?;
            if others.next().is_some() { None } else { of_part(only) }
        }
        _ => None,
    }
}

fn of_template(part: Part<'_>) -> Option<PairFrame> {
    let mut pieces = Vec::new();
    for value in part.list("pair").ok()? {
        let (what, fields) = if let Some(token) = value.get("SpecialToken") {
            let ids = part.get("special_tokens")?.get(token.get("id")?.as_str()?)?.get("ids")?.as_array()?;
            (What::Special(ids.iter().map(number).collect::<Option<_>>()?), token)
        } else {
            let sequence = value.get("Sequence")?;
            let what = match sequence.get("id")?.as_str()? {
                "A" => What::First,
                "B" => What::Second,
                _ => return None,
            };
            (what, sequence)
        };
        pieces.push(Piece { what, of_type: number(fields.get("type_id")?)? });
    }
    let count = |wanted: &What| pieces.iter().filter(|piece| piece.what == *wanted).count();
    if count(&What::First) != 1 || count(&What::Second) != 1 {
        return None;
    }
    Some(PairFrame(pieces))
}

impl PairFrame {
    /// BERT's form: `cls`, the first text, `sep`, then the second and `sep` of another type.
    pub(crate) fn bert(cls: u32, sep: u32) -> Self {
        let special = |id, of_type| Piece { what: What::Special(vec![id]), of_type };
        let text = |what, of_type| Piece { what, of_type };
        Self(vec![special(cls, 0), text(What::First, 0), special(sep, 0), text(What::Second, 1), special(sep, 1)])
    }

    /// RoBERTa's form: `cls`, the first text, `sep` twice, the second text and `sep`, all of one type.
    pub(crate) fn roberta(cls: u32, sep: u32) -> Self {
        let ends = [vec![cls], vec![sep, sep], vec![sep]].map(What::Special);
        let [before, between, behind] = ends;
        Self([before, What::First, between, What::Second, behind].into_iter().map(|what| Piece { what, of_type: 0 }).collect())
    }

    /// The sequence of two texts' tokens, of at most `most` tokens: the longer text gives its last tokens up first, as the strategy
    /// `longest_first` of `tokenizers` has it. Fails with `bad-input` where the special tokens alone are more than `most`.
    pub(crate) fn join(&self, first: &[u32], second: &[u32], most: usize) -> Result<EncodedPair> {
        let specials: usize = self.0.iter().map(|piece| if let What::Special(ids) = &piece.what { ids.len() } else { 0 }).sum();
        let Some(room) = most.checked_sub(specials) else {
            return Err(Error::bad_input(format!(
                "the special tokens around a pair of texts are {specials}, but at most {most} were asked for"
            )));
        };
        let (first_most, second_most) = shares(first.len(), second.len(), room);
        let mut pair =
            EncodedPair { ids: Vec::new(), types: Vec::new(), left_out: first.len() + second.len() - first_most - second_most };
        for piece in &self.0 {
            let ids = match &piece.what {
                What::Special(ids) => ids,
                What::First => &first[..first_most],
                What::Second => &second[..second_most],
            };
            pair.ids.extend_from_slice(ids);
            pair.types.resize(pair.ids.len(), piece.of_type);
        }
        Ok(pair)
    }
}

/// Tokens that two texts may keep of `room`: the shorter one all, if the longer one then still has as many; else both half, the longer one the odd one.
fn shares(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let shorter = first.min(second);
    let (of_shorter, of_longer) = if 2 * shorter <= room { (shorter, room - shorter) } else { (room / 2, room - room / 2) };
    if first > second { (of_longer, of_shorter) } else { (of_shorter, of_longer) }
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_has_its_form() {
        let bert = json!({"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]});
        let joined = |value: &Value| read(value).unwrap().join(&[7, 8], &[9], 99).unwrap();
        let expected = EncodedPair { ids: vec![1, 7, 8, 2, 9, 2], types: vec![0, 0, 0, 0, 1, 1], left_out: 0 };
        assert_eq!(joined(&bert), expected);
        let template = json!({"type": "TemplateProcessing", "single": [], "pair": [
            {"SpecialToken": {"id": "c", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "s", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "s", "type_id": 1}}],
            "special_tokens": {"c": {"ids": [1]}, "s": {"ids": [2]}}});
        assert_eq!(joined(&json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]})), expected);
        let roberta = json!({"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["</s>", 2]});
        assert_eq!(joined(&roberta).ids, [1, 7, 8, 2, 2, 9, 2]);
        assert_eq!(joined(&roberta).types, [0; 7]);
    }

    #[test]
    fn what_says_nothing_about_pairs_has_no_form() {
        let template = |pair: Value| json!({"type": "TemplateProcessing", "single": [], "pair": pair, "special_tokens": {}});
        let a = json!({"Sequence": {"id": "A", "type_id": 0}});
        let values = [
            Value::Null,
            json!({"type": "ByteLevel"}),
            template(json!([])),
            template(json!([a, a])),
            template(json!([a, {"SpecialToken": {"id": "s", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}])),
            json!({"type": "BertProcessing", "cls": ["x", -1], "sep": ["y", 1]}),
        ];
        for value in values {
            assert_eq!(read(&value), None, "{value}");
        }
    }

    #[test]
    fn the_longer_text_gives_up_first() {
        let cases = [
            ((3, 2, 9), (3, 2)),
            ((9, 2, 6), (4, 2)),
            ((2, 9, 6), (2, 4)),
            ((9, 8, 5), (3, 2)),
            ((8, 9, 5), (2, 3)),
            ((4, 4, 5), (2, 3)),
            ((0, 9, 0), (0, 0)),
        ];
        for ((first, second, room), expected) in cases {
            assert_eq!(shares(first, second, room), expected, "{first} {second} {room}");
        }
        let bert = read(&json!({"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]})).unwrap();
        assert_eq!(bert.join(&[7; 9], &[8; 9], 5).unwrap().left_out, 16);
        assert_eq!(bert.join(&[7], &[8], 2).unwrap_err().code(), "bad-input");
    }
}
