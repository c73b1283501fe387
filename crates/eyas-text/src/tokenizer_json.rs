//! Reads `tokenizer.json`.
//!
//! The `tokenizers` crate trusts its files: a truncated or contradictory one can make it panic, which would poison the
//! worker. So the file's shape is checked first, without building anything large.

use eyas_core::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    byte_level, charsmap, gguf_vocab::fallback_byte, joining::Joining, model_shape::ModelShape, token_table::TokenTable,
};

/// Ids beyond this are taken for garbage; the largest vocabularies have some 300,000 tokens.
const MAX_VOCAB: u64 = 1 << 22;

/// What a file becomes.
pub(crate) struct JsonParts {
    pub(crate) library: tokenizers::Tokenizer,
    pub(crate) table: TokenTable,
    pub(crate) has_post_processor: bool,
}

/// The file without the contents of its vocabulary.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<AddedTokenOutline>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: ModelShape,
}

#[derive(Deserialize)]
struct AddedTokenOutline {
    id: u64,
    content: String,
}

/// Reads and checks a file.
pub(crate) fn read(bytes: &[u8]) -> Result<JsonParts> {
    let text = std::str::from_utf8(bytes).map_err(|error| bad("is not UTF-8").with_source(error))?;
    let outline: Outline = serde_json::from_str(text).map_err(|error| bad(&format!("is malformed: {error}")))?;
    outline.model.check()?;
    let highest = outline.added_tokens.iter().map(|token| token.id).chain([outline.model.highest_id()]).max().unwrap_or(0);
    if highest >= MAX_VOCAB {
        return Err(bad(&format!("has the token id {highest}; expected less than {MAX_VOCAB}")));
    }
    check_types("normalizer", &outline.normalizer, NORMALIZERS)?;
    check_types("pre_tokenizer", &outline.pre_tokenizer, PRE_TOKENIZERS)?;
    check_types("post_processor", &outline.post_processor, POST_PROCESSORS)?;
    check_templates(&outline.post_processor)?;
    let decoding = Decoding::read(&outline.decoder)?;

    let mut library: tokenizers::Tokenizer =
        serde_json::from_str(text).map_err(|error| bad(&format!("was not accepted: {error}")))?;
    for token in &outline.added_tokens {
        let found = library.token_to_id(&token.content);
        if !token.content.is_empty() && found.map(u64::from) != Some(token.id) {
            return Err(bad(&format!(
                "gives the added token {:?} the id {}, but its place is {found:?}",
                token.content, token.id
            )));
        }
    }
    library.with_padding(None);
    library.with_truncation(None).map_err(|error| bad("has an impossible truncation").with_source(error))?;
    let table = decoding.table(&library, highest as usize + 1)?;
    Ok(JsonParts { library, table, has_post_processor: !outline.post_processor.is_null() })
}

fn bad(what: &str) -> Error {
    Error::bad_model(format!("tokenizer.json {what}"))
}

const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const POST_PROCESSORS: &[&str] = &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];

/// Fails where a part, or a part of a sequence, is of a type that is not listed.
fn check_types(name: &str, part: &Value, known: &[&str]) -> Result<()> {
    if part.is_null() {
        return Ok(());
    }
    let kind = part.get("type").and_then(Value::as_str).ok_or_else(|| bad(&format!("has a {name} without a type")))?;
    if !known.contains(&kind) {
        return Err(Error::unsupported(format!("tokenizer.json has a {name} of type {kind:?}, which is not supported")));
    }
    if kind == "Precompiled" && !part.get("precompiled_charsmap").and_then(Value::as_str).is_some_and(charsmap::is_sound) {
        return Err(bad("has a precompiled_charsmap that is damaged"));
    }
    for list in ["normalizers", "pretokenizers", "processors"] {
        for inner in part.get(list).and_then(Value::as_array).into_iter().flatten() {
            check_types(name, inner, known)?;
        }
    }
    Ok(())
}

/// Fails where a template names a special token that it does not define.
fn check_templates(post_processor: &Value) -> Result<()> {
    for inner in post_processor.get("processors").and_then(Value::as_array).into_iter().flatten() {
        check_templates(inner)?;
    }
    let pieces = ["single", "pair"].iter().filter_map(|key| post_processor.get(*key)?.as_array()).flatten();
    for id in pieces.filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str()) {
        if post_processor.get("special_tokens").and_then(|tokens| tokens.get(id)).is_none() {
            return Err(bad(&format!("has a post_processor that uses {id:?} without defining it")));
        }
    }
    Ok(())
}

/// How token texts become bytes, and how these are joined.
#[derive(Default)]
struct Decoding {
    byte_level: bool,
    byte_fallback: bool,
    /// What stands for a space.
    space: Option<String>,
    joining: Joining,
}

impl Decoding {
    fn read(decoder: &Value) -> Result<Self> {
        if decoder.is_null() {
            return Ok(Self { joining: Joining::Spaced, ..Self::default() });
        }
        let mut decoding = Self::default();
        let single = [decoder.clone()];
        let is_sequence = decoder.get("type").and_then(Value::as_str) == Some("Sequence");
        let steps = if is_sequence { decoder.get("decoders").and_then(Value::as_array).map(Vec::as_slice) } else { None };
        let mut fused = false;
        for step in steps.unwrap_or(&single) {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            let unsupported = || Error::unsupported(format!("tokenizer.json has the decoder {step}, which is not supported"));
            match text("type").ok_or_else(|| bad("has a decoder without a type"))? {
                "ByteLevel" => decoding.byte_level = true,
                "ByteFallback" => decoding.byte_fallback = true,
                "Fuse" => fused = true,
                "Replace" => {
                    let from = step.get("pattern").and_then(|pattern| pattern.get("String")).and_then(Value::as_str);
                    let (Some(from), Some(" ")) = (from, text("content")) else { return Err(unsupported()) };
                    decoding.space = Some(from.to_owned());
                }
                "Metaspace" => {
                    decoding.space = Some(text("replacement").unwrap_or("\u{2581}").to_owned());
                    let prefixed = step.get("add_prefix_space").and_then(Value::as_bool) != Some(false);
                    if prefixed && text("prepend_scheme") != Some("never") {
                        decoding.joining = Joining::FirstWithoutSpaces;
                    }
                }
                "Strip" if fused && text("content") == Some(" ") && step.get("stop").and_then(Value::as_u64) == Some(0) => {
                    let spaces = step.get("start").and_then(Value::as_u64).unwrap_or(0);
                    decoding.joining = Joining::StripStart(spaces as usize);
                }
                "WordPiece" => {
                    let prefix = text("prefix").unwrap_or("##").to_owned();
                    let cleanup = step.get("cleanup").and_then(Value::as_bool).unwrap_or(true);
                    decoding.joining = Joining::WordPiece { prefix, cleanup };
                }
                _ => return Err(unsupported()),
            }
        }
        Ok(decoding)
    }

    fn table(self, library: &tokenizers::Tokenizer, size: usize) -> Result<TokenTable> {
        let mut texts: Vec<Option<String>> = vec![None; size];
        for (token, id) in library.get_vocab(false) {
            if let Some(slot) = texts.get_mut(id as usize) {
                *slot = Some(token);
            }
        }
        let added = library.get_added_vocabulary();
        for &id in added.get_vocab().values() {
            if let Some(slot) = texts.get_mut(id as usize) {
                *slot = added.simple_id_to_token(id);
            }
        }
        let mut table = TokenTable::new(size, self.joining.clone());
        for (id, text) in texts.into_iter().enumerate() {
            let text = text.unwrap_or_default();
            let special = added.get_added_tokens_decoder().get(&(id as u32)).is_some_and(|token| token.special);
            table.push(&self.bytes(&text), special)?;
        }
        Ok(table)
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        if let Some(byte) = self.byte_fallback.then(|| fallback_byte(token)).flatten() {
            return vec![byte];
        }
        match &self.space {
            Some(space) => token.replace(space.as_str(), " ").into_bytes(),
            None if self.byte_level => byte_level::token_bytes(token),
            None => token.as_bytes().to_vec(),
        }
    }
}
