//! Reads `tokenizer.json`.
//!
//! The `tokenizers` crate could do that itself, but it trusts its files (a truncated or contradictory one can make it panic, which would
//! poison the worker), and its readers for everything it knows weigh more than what they read. So its parts are made here, one by one.

use eyas_core::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use tokenizers::{AddedToken, Model};

use crate::{
    byte_level,
    frame::{self, Frame},
    gguf_vocab::fallback_byte,
    joining::Joining,
    library::Library,
    model_file::ModelFile,
    normalizer,
    pair_frame::{self, PairFrame},
    splitting,
    token_table::TokenTable,
};

/// Ids beyond this are taken for garbage; the largest vocabularies have some 300,000 tokens.
const MAX_VOCAB: u64 = 1 << 22;

/// What a file becomes.
pub(crate) struct JsonParts {
    pub(crate) library: Library,
    pub(crate) frame: Frame,
    /// The form of a pair of texts, where there is one.
    pub(crate) pair_frame: Option<PairFrame>,
    pub(crate) table: TokenTable,
    pub(crate) has_post_processor: bool,
}

/// The file.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<AddedTokenFile>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: ModelFile,
}

#[derive(Deserialize)]
struct AddedTokenFile {
    id: u64,
    #[serde(flatten)]
    token: AddedToken,
}

/// Reads and checks a file.
pub(crate) fn read(bytes: &[u8]) -> Result<JsonParts> {
    let file: TokenizerFile = serde_json::from_slice(bytes).map_err(|error| bad(&format!("is malformed: {error}")))?;
    if let Some(version) = file.version.filter(|version| version != "1.0") {
        return Err(bad(&format!("has the version {version:?}; expected \"1.0\"")));
    }
    let highest = file.added_tokens.iter().map(|token| token.id).chain([file.model.highest_id()]).max().unwrap_or(0);
    if highest >= MAX_VOCAB {
        return Err(bad(&format!("has the token id {highest}; expected less than {MAX_VOCAB}")));
    }
    let frame = frame::read(&file.post_processor)?;
    let pair_frame = pair_frame::read(&file.post_processor);
    let decoding = Decoding::read(&file.decoder)?;
    let (normalizer, pre_tokenizer) = (normalizer::read(&file.normalizer)?, splitting::read(&file.pre_tokenizer)?);
    let (ids, tokens): (Vec<u64>, Vec<AddedToken>) = file.added_tokens.into_iter().map(|token| (token.id, token.token)).unzip();
    let library = Library::new(file.model.build()?, normalizer, pre_tokenizer, tokens.clone())?;
    for (id, token) in ids.into_iter().zip(&tokens) {
        let found = library.id(&token.content);
        if !token.content.is_empty() && found.map(u64::from) != Some(id) {
            return Err(bad(&format!("gives the added token {:?} the id {id}, but its place is {found:?}", token.content)));
        }
    }
    let table = decoding.table(&library, highest as usize + 1)?;
    Ok(JsonParts { library, frame, pair_frame, table, has_post_processor: !file.post_processor.is_null() })
}

fn bad(what: &str) -> Error {
    Error::bad_model(format!("tokenizer.json {what}"))
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

    fn table(self, library: &Library, size: usize) -> Result<TokenTable> {
        let mut table = TokenTable::new(size, self.joining.clone());
        let (added, mut buffer) = (&library.added, Vec::new());
        for id in 0..size as u32 {
            let text = added.simple_id_to_token(id).or_else(|| library.model.id_to_token(id)).unwrap_or_default();
            let special = added.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special);
            table.push(self.bytes(&text, &mut buffer), special)?;
        }
        Ok(table)
    }

    /// The bytes of a token, in `buffer` where they are not its own.
    fn bytes<'a>(&self, token: &'a str, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(byte) = self.byte_fallback.then(|| fallback_byte(token)).flatten() {
            *buffer = vec![byte];
            return buffer;
        }
        match &self.space {
            Some(space) => {
                *buffer = token.replace(space.as_str(), " ").into_bytes();
                buffer
            }
            None if self.byte_level => byte_level::token_bytes(token, buffer),
            None => token.as_bytes(),
        }
    }
}
