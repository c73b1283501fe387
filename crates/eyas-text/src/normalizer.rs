//! The normalizer of a `tokenizer.json`.

use eyas_core::Result;
use serde_json::Value;
use tokenizers::{
    NormalizerWrapper,
    normalizers::{
        BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip,
        StripAccents, replace::ReplacePattern,
    },
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
            let pattern = if is_regex { ReplacePattern::Regex(text) } else { ReplacePattern::String(text) };
            Replace::new(pattern, part.text("content")?).map_err(|error| part.refused(error))?.into()
        }
        "Sequence" => Sequence::new(part.parts("normalizers")?.into_iter().map(build).collect::<Result<_>>()?).into(),
        "Strip" => Strip::new(part.flag("strip_left")?, part.flag("strip_right")?).into(),
        "StripAccents" => StripAccents.into(),
        _ => return Err(part.unsupported()),
    })
}
