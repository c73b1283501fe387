//! The tokenizer, whatever file it came from.

use std::{borrow::Cow, fmt, sync::Arc};

use eyas_core::{Error, Result};
use serde_json::Value;

use crate::{
    EncodedPair, GgufVocab, StreamDecoder, encoder::Encoder, frame::Frame, pair_frame::PairFrame, shield::shield,
    special_tokens::SpecialTokens, token_table::TokenTable, tokenizer_json,
};

/// How a text is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether BOS and EOS are added as the tokenizer's own post-processor says.
    pub add_special: bool,
    /// Whether special tokens that are written in the text become their ids; otherwise they are plain text. For a
    /// rendered chat prompt, true; for what a person wrote, false.
    pub parse_special: bool,
}

/// Text to token ids and back.
pub struct Tokenizer {
    encoder: Encoder,
    table: Arc<TokenTable>,
    bos: Option<(u32, String)>,
    eos: Option<(u32, String)>,
    /// Added around a text with `add_special`.
    frame: Frame,
    /// The form of a pair of texts, where the file has one.
    pair_frame: Option<PairFrame>,
    /// Tokens that control the model.
    control: SpecialTokens,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, and the names of BOS and EOS from a `tokenizer_config.json`.
    ///
    /// Fails with `bad-model` where the file is malformed, and with `unsupported-model` where it uses a part that is
    /// not known.
    pub fn from_json(tokenizer_json: &[u8], tokenizer_config: Option<&Value>) -> Result<Self> {
        let tokenizer_json::JsonParts { library, frame, pair_frame, table, has_post_processor } =
            tokenizer_json::read(tokenizer_json)?;
        let encoder = Encoder::library(library);
        let named = |key: &str| {
            let entry = tokenizer_config?.get(key)?;
            let text = entry.as_str().or_else(|| entry.get("content")?.as_str())?;
            Some((encoder.id(text)?, text.to_owned()))
        };
        let wants = |key: &str| {
            !has_post_processor && tokenizer_config.and_then(|config| config.get(key)).and_then(Value::as_bool).unwrap_or(false)
        };
        let (bos, eos) = (named("bos_token"), named("eos_token"));
        let prefix = bos.as_ref().map(|(id, _)| *id).filter(|_| wants("add_bos_token"));
        let suffix = eos.as_ref().map(|(id, _)| *id).filter(|_| wants("add_eos_token"));
        let frame =
            if has_post_processor { frame } else { Frame { before: Vec::from_iter(prefix), after: Vec::from_iter(suffix) } };
        Ok(Self { encoder, control: table.control_tokens(), table: Arc::new(table), bos, eos, frame, pair_frame })
    }

    /// Makes a tokenizer from what a GGUF file says about its vocabulary.
    ///
    /// Fails with `bad-model` where the lists contradict each other, and with `unsupported-model`, naming it, for a
    /// kind or a pre-tokenizer that is not known.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self> {
        let token = |id: Option<u32>| id.and_then(|id| Some((id, vocab.tokens.get(id as usize)?.clone())));
        let (bos, eos) = (token(vocab.bos_id), token(vocab.eos_id));
        let parts = vocab.build()?;
        let prefix = bos.as_ref().map(|(id, _)| *id).filter(|_| parts.add_bos);
        let suffix = eos.as_ref().map(|(id, _)| *id).filter(|_| parts.add_eos);
        let frame = Frame { before: Vec::from_iter(prefix), after: Vec::from_iter(suffix) };
        Ok(Self {
            encoder: parts.encoder,
            control: parts.table.control_tokens(),
            table: Arc::new(parts.table),
            bos,
            eos,
            frame,
            pair_frame: parts.pair_frame,
        })
    }

    /// Token ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let ids = self.encoder.encode(text, options.parse_special)?;
        Ok(if options.add_special { [self.frame.before.as_slice(), &ids, &self.frame.after].concat() } else { ids })
    }

    /// What somebody wrote, such that special tokens in it stay text when a conversation that holds it is encoded with `parse_special`.
    /// Otherwise the same text to templates and encoders, but for a noncharacter within those tokens.
    pub fn shield<'t>(&self, text: &'t str) -> Cow<'t, str> {
        shield(&self.control, text)
    }

    /// Token ids of a text, special tokens around them included, cut at the end of the text so that there are at most `most`; and how many tokens
    /// of the text that left out.
    ///
    /// Fails with `bad-input` where the special tokens alone are more than `most`.
    pub fn encode_at_most(&self, text: &str, options: EncodeOptions, most: usize) -> Result<(Vec<u32>, usize)> {
        let mut ids = self.encoder.encode(text, options.parse_special)?;
        let around = if options.add_special { self.frame.before.len() + self.frame.after.len() } else { 0 };
        let Some(room) = most.checked_sub(around) else {
            return Err(Error::bad_input(format!(
                "the special tokens around a text are {around}, but at most {most} were asked for"
            )));
        };
        let left_out = ids.len().saturating_sub(room);
        ids.truncate(room);
        Ok((if options.add_special { [self.frame.before.as_slice(), &ids, &self.frame.after].concat() } else { ids }, left_out))
    }

    /// Two texts as one sequence of at most `most` tokens, special tokens as the tokenizer's own post-processor has them for a pair. What is too much is
    /// cut at the ends of the texts, of the longer one first. What looks like a special token in a text is text.
    ///
    /// Fails with `unsupported-model` where the tokenizer has no form for pairs, and with `bad-input` where the special tokens alone are too many.
    pub fn encode_pair(&self, first: &str, second: &str, most: usize) -> Result<EncodedPair> {
        let frame = self.pair_frame.as_ref().ok_or_else(|| {
            Error::unsupported(
                "the model's tokenizer has no form for a pair of texts; give one text, or a model that was trained on pairs",
            )
        })?;
        frame.join(&self.encoder.encode(first, false)?, &self.encoder.encode(second, false)?, most)
    }

    /// The text of token ids, special tokens left out where asked for. Bytes that are not UTF-8 become U+FFFD. Fails
    /// with `bad-input` for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut decoder = self.stream_decoder(skip_special);
        let mut text = String::new();
        for &id in ids {
            text.push_str(&decoder.push(id)?);
        }
        text.push_str(&decoder.finish()?);
        Ok(text)
    }

    /// A decoder for tokens as they come; it owns what it needs.
    pub fn stream_decoder(&self, skip_special: bool) -> StreamDecoder {
        StreamDecoder::new(Arc::clone(&self.table), skip_special)
    }

    /// One more than the highest token id. A model's logits may have more columns than that.
    pub fn vocab_size(&self) -> usize {
        self.table.len()
    }

    /// The ids below `count` that no token stands behind, ascending: holes, and what a model's logits have beyond the vocabulary.
    pub fn unknown_ids(&self, count: usize) -> Vec<u32> {
        (0..count as u32).filter(|id| !self.table.has_token(*id)).collect()
    }

    /// The text of one token alone, with U+FFFD where it is half a character; empty where there is no such token.
    pub fn token_text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.token_bytes(id)).into_owned()
    }

    /// The bytes of one token alone, a leading space included; empty where there is no such token.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.table.bytes(id).unwrap_or_default()
    }

    /// The id of a token as the vocabulary writes it (e.g. `Ġworld` or `▁world`).
    pub fn id(&self, token: &str) -> Option<u32> {
        self.encoder.id(token)
    }

    /// Whether a token is special, that is, controls the model and is no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.table.is_special(id)
    }

    /// The token that begins a text, and how it is written.
    pub fn bos_token(&self) -> Option<(u32, &str)> {
        self.bos.as_ref().map(|(id, text)| (*id, text.as_str()))
    }

    /// The token that ends a text, and how it is written.
    pub fn eos_token(&self) -> Option<(u32, &str)> {
        self.eos.as_ref().map(|(id, text)| (*id, text.as_str()))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("table", &self.table)
            .field("bos", &self.bos)
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}
