//! The pre-tokenizer of a `tokenizer.json`: how a text is split before the model sees it.

use eyas_core::Result;
use serde_json::Value;
use tokenizers::{
    PreTokenizerWrapper, SplitDelimiterBehavior,
    pre_tokenizers::{
        bert::BertPreTokenizer,
        byte_level::ByteLevel,
        delimiter::CharDelimiterSplit,
        digits::Digits,
        metaspace::{Metaspace, PrependScheme},
        punctuation::Punctuation,
        sequence::Sequence,
        split::{Split, SplitPattern},
        unicode_scripts::UnicodeScripts,
        whitespace::{Whitespace, WhitespaceSplit},
    },
};

use crate::part::Part;

/// Reads a pre-tokenizer; null is none.
pub(crate) fn read(value: &Value) -> Result<Option<PreTokenizerWrapper>> {
    if value.is_null() { Ok(None) } else { build(Part::new("pre_tokenizer", value)?).map(Some) }
}

fn build(part: Part<'_>) -> Result<PreTokenizerWrapper> {
    Ok(match part.kind {
        "BertPreTokenizer" => BertPreTokenizer.into(),
        "ByteLevel" => ByteLevel::new(
            part.flag("add_prefix_space")?,
            part.flag("trim_offsets")?,
            part.optional_flag("use_regex")?.unwrap_or(true),
        )
        .into(),
        "CharDelimiterSplit" => CharDelimiterSplit::new(part.character("delimiter")?).into(),
        "Digits" => Digits::new(part.flag("individual_digits")?).into(),
        "Metaspace" => {
            let scheme = match part.get("prepend_scheme").map(Value::as_str) {
                None | Some(Some("always")) => PrependScheme::Always,
                Some(Some("first")) => PrependScheme::First,
                Some(Some("never")) => PrependScheme::Never,
                Some(_) => return Err(part.bad("prepend_scheme")),
            };
            if part.optional_flag("add_prefix_space")? == Some(false) && scheme != PrependScheme::Never {
                return Err(part.bad("prepend_scheme"));
            }
            Metaspace::new(part.character("replacement")?, scheme, part.optional_flag("split")?.unwrap_or(true)).into()
        }
        "Punctuation" => {
            let behavior = part.get("behavior").map_or(Ok(SplitDelimiterBehavior::Isolated), |_| behavior(part))?;
            Punctuation::new(behavior).into()
        }
        "Sequence" => Sequence::new(part.parts("pretokenizers")?.into_iter().map(build).collect::<Result<_>>()?).into(),
        "Split" => {
            let (text, is_regex) = part.pattern()?;
            let pattern = if is_regex { SplitPattern::Regex(text) } else { SplitPattern::String(text) };
            Split::new(pattern, behavior(part)?, part.flag("invert")?).map_err(|error| part.refused(error))?.into()
        }
        "UnicodeScripts" => UnicodeScripts::new().into(),
        "Whitespace" => Whitespace.into(),
        "WhitespaceSplit" => WhitespaceSplit.into(),
        _ => return Err(part.unsupported()),
    })
}

fn behavior(part: Part<'_>) -> Result<SplitDelimiterBehavior> {
    match part.text("behavior")? {
        "Removed" => Ok(SplitDelimiterBehavior::Removed),
        "Isolated" => Ok(SplitDelimiterBehavior::Isolated),
        "MergedWithPrevious" => Ok(SplitDelimiterBehavior::MergedWithPrevious),
        "MergedWithNext" => Ok(SplitDelimiterBehavior::MergedWithNext),
        "Contiguous" => Ok(SplitDelimiterBehavior::Contiguous),
        _ => Err(part.bad("behavior")),
    }
}
