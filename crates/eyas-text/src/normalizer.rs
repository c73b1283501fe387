//! The normalizer of a `tokenizer.json`.

use eyas_core::{Error, Result};
use serde_json::Value;
use tokenizers::{
    NormalizerWrapper,
    normalizers::{
        BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip,
        StripAccents, replace::ReplacePattern,
    },
    pattern::Pattern,
    utils::SysRegex,
};

use crate::{charsmap, part::Part};

/// Reads a normalizer; null is none.
pub(crate) fn read(value: &Value) -> Result<Option<NormalizerWrapper>> {
    if value.is_null() { Ok(None) } else { build(Part::new("normalizer", value)?).map(Some) }
}

fn build(part: Part<'_>) -> Result<NormalizerWrapper> {
    Ok(match part.kind {
        "BertNormalizer" => BertNormalizer::new(
            part.flag("clean_text")?,
            part.flag("handle_chinese_chars")?,
            part.optional_flag("strip_accents")?,
            part.flag("lowercase")?,
        )
        .into(),
        "ByteLevel" => ByteLevel::new().into(),
        "Lowercase" => Lowercase.into(),
        "NFC" => NFC.into(),
        "NFD" => NFD.into(),
        "NFKC" => NFKC.into(),
        "NFKD" => NFKD.into(),
        "Nmt" => Nmt.into(),
        "Precompiled" => {
            // Its reader indexes without looking, so the map is checked first.
            let map = charsmap::sound(part.text("precompiled_charsmap")?).ok_or_else(|| part.bad("precompiled_charsmap"))?;
            Precompiled::from(&map).map_err(|error| part.refused(error.into()))?.into()
        }
        "Prepend" => Prepend::new(part.text("prepend")?.to_owned()).into(),
        "Replace" => {
            let (text, is_regex) = part.pattern()?;
            check_consumes(part, &text, is_regex)?;
            let pattern = if is_regex { ReplacePattern::Regex(text) } else { ReplacePattern::String(text) };
            Replace::new(pattern, part.text("content")?).map_err(|error| part.refused(error))?.into()
        }
        "Sequence" => Sequence::new(part.parts("normalizers")?.into_iter().map(build).collect::<Result<_>>()?).into(),
        "Strip" => Strip::new(part.flag("strip_left")?, part.flag("strip_right")?).into(),
        "StripAccents" => StripAccents.into(),
        _ => return Err(part.unsupported()),
    })
}

/// Letters, digits, marks, spaces and signs beside each other.
const PROBE: &str = "aB c\u{e9}1,23 e\u{301}.\n\t  \u{6c49}\u{1f600}<a>'s\u{2581}_x";

/// Fails where a replacement is made of no characters at all: what the `tokenizers` crate then keeps of a text's places makes it panic later. Of a regular
/// expression a probe decides.
fn check_consumes(part: Part<'_>, text: &str, is_regex: bool) -> Result<()> {
    let is_empty = if is_regex {
        let regex = SysRegex::new(text).map_err(|error| part.refused(error))?;
        let found = (&regex).find_matches(PROBE).map_err(|error| part.refused(error))?;
        found.iter().any(|((start, end), is_match)| *is_match && start == end)
    } else {
        text.is_empty()
    };
    if is_empty {
        return Err(Error::unsupported(format!(
            "tokenizer.json has a normalizer that replaces {text:?}, which may match no characters at all; that is not supported"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replacement_of_nothing_is_refused() {
        for (pattern, is_read) in [
            (json!({"String": ""}), false),
            (json!({"Regex": "x*"}), false),
            (json!({"Regex": "(?=é)"}), false),
            (json!({"Regex": " {2,}"}), true),
            (json!({"String": " "}), true),
        ] {
            let read = read(&json!({"type": "Replace", "pattern": pattern, "content": "xx"}));
            assert_eq!(
                read.map(|_| ()).map_err(|error| error.code()),
                if is_read { Ok(()) } else { Err("unsupported-model") },
                "{pattern}"
            );
        }
    }
}
