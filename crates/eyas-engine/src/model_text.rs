//! The files that turn a conversation into tokens: tokenizer and chat template, wherever a model keeps them.

use eyas_core::{Error, Result};
use eyas_text::{ChatTemplate, GgufVocab, Tokenizer, merge_pair};
use eyas_weights::{Checkpoint, FileSet, GgufMetadata, ModelFiles};
use serde_json::Value;

use crate::{
    ChatPrompt,
    json_file::{missing, not_json, read_file, read_json},
};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// The tokenizer of a model, without its weights: `tokenizer.json`, or the vocabulary of a GGUF file.
pub async fn open_tokenizer(files: &ModelFiles) -> Result<Tokenizer> {
    match files {
        ModelFiles::Folder(folder) => {
            let config = read_json(folder.as_ref(), TOKENIZER_CONFIG).await?;
            folder_tokenizer(folder.as_ref(), config.as_ref()).await
        }
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => gguf_tokenizer(metadata(&Checkpoint::open(files).await?)?),
    }
}

/// The same where the headers are read.
pub(crate) async fn open_tokenizer_of(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<Tokenizer> {
    match files {
        ModelFiles::Folder(_) => open_tokenizer(files).await,
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => gguf_tokenizer(metadata(checkpoint)?),
    }
}

/// The chat template of a model, without its weights: `chat_template.jinja`, `chat_template` in `tokenizer_config.json`, or
/// `tokenizer.chat_template` in a GGUF file; `None` where there is none.
pub async fn open_template(files: &ModelFiles) -> Result<Option<ChatPrompt>> {
    match files {
        ModelFiles::Folder(folder) => {
            let config = read_json(folder.as_ref(), TOKENIZER_CONFIG).await?;
            folder_template(folder.as_ref(), config.as_ref()).await
        }
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => gguf_template(metadata(&Checkpoint::open(files).await?)?),
    }
}

/// Tokenizer and template of a model whose headers are read.
pub(crate) async fn open_text(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<(Tokenizer, Option<ChatPrompt>)> {
    match files {
        ModelFiles::Folder(folder) => {
            let config = read_json(folder.as_ref(), TOKENIZER_CONFIG).await?;
            let tokenizer = folder_tokenizer(folder.as_ref(), config.as_ref()).await?;
            Ok((tokenizer, folder_template(folder.as_ref(), config.as_ref()).await?))
        }
        ModelFiles::Gguf(_) | ModelFiles::GgufParts(_) => {
            let metadata = metadata(checkpoint)?;
            Ok((gguf_tokenizer(metadata)?, gguf_template(metadata)?))
        }
    }
}

/// The metadata that every GGUF checkpoint has.
pub(crate) fn metadata(checkpoint: &Checkpoint) -> Result<&GgufMetadata> {
    checkpoint.gguf().ok_or_else(|| Error::internal("a GGUF file was opened without its metadata"))
}

async fn folder_tokenizer(folder: &dyn FileSet, config: Option<&Value>) -> Result<Tokenizer> {
    let bytes = read_file(folder, TOKENIZER).await?.ok_or_else(|| missing(folder, TOKENIZER))?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(not_json(TOKENIZER, &bytes, "it does not begin with a brace"));
    }
    Tokenizer::from_json(&bytes, config).map_err(|error| error.context(TOKENIZER))
}

async fn folder_template(folder: &dyn FileSet, config: Option<&Value>) -> Result<Option<ChatPrompt>> {
    let template = if let Some(bytes) = read_file(folder, TEMPLATE).await? {
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::bad_model(format!("{TEMPLATE}: expected UTF-8 text; download it again")).with_source(error)
        })?;
        Some(ChatTemplate::new(&text).map_err(|error| error.context(TEMPLATE))?)
    } else {
        config.map(ChatTemplate::from_config).transpose().map_err(|error| error.context(TOKENIZER_CONFIG))?.flatten()
    };
    Ok(template.map(|template| ChatPrompt::from_config(template, config)))
}

fn gguf_template(metadata: &GgufMetadata) -> Result<Option<ChatPrompt>> {
    let Some(text) = metadata.get_str("tokenizer.chat_template")? else {
        return Ok(None);
    };
    let template = ChatTemplate::new(text).map_err(|error| error.context("tokenizer.chat_template"))?;
    ChatPrompt::from_gguf(template, metadata).map(Some)
}

fn gguf_tokenizer(metadata: &GgufMetadata) -> Result<Tokenizer> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let strings = |name: &str| metadata.get_strings(&key(name));
    let id = |name: &str| {
        let id = metadata.get_u64(&key(name))?;
        // Files without such a token write -1 or its unsigned equivalent.
        Ok(id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id != u32::MAX))
    };
    let flag = |name: &str| metadata.get_bool(&key(name));
    let missing =
        |name: &str| Error::bad_model(format!("GGUF metadata: expected {}, found none; convert the model again", key(name)));
    let model = metadata.get_str(&key("model"))?.ok_or_else(|| missing("model"))?.to_owned();
    let pre = metadata.get_str(&key("pre"))?.map(str::to_owned);
    let of_encoder = matches!(model.as_str(), "bert" | "t5") || matches!(pre.as_deref(), Some("modern-bert" | "roberta-bpe"));
    let (cls, sep) = if of_encoder { (id("cls_token_id")?, id("seperator_token_id")?) } else { (None, None) };
    let charsmap = metadata.get_i64s(&key("precompiled_charsmap"))?;
    let token_types = metadata.get_i64s(&key("token_type"))?;
    // Files of other kinds may have some, too.
    let merges = if model == "gpt2" { strings("merges")? } else { None };
    Tokenizer::from_gguf(GgufVocab {
        model,
        pre,
        tokens: strings("tokens")?.ok_or_else(|| missing("tokens"))?.into_iter().map(str::to_owned).collect(),
        scores: metadata.get_f32s(&key("scores"))?,
        token_types: token_types.map(|types| types.into_iter().map(|kind| kind as i32).collect()),
        merges: merges.map(|merges| merges.into_iter().map(merge_pair).collect::<Result<_>>()).transpose()?,
        // Newer files of BERT call it as all others do.
        bos_id: cls.or(id("bos_token_id")?),
        eos_id: sep.or(id("eos_token_id")?),
        unk_id: id("unknown_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
        // Bytes, which some files hold as signed ones.
        charsmap: charsmap.map(|bytes| bytes.into_iter().map(|byte| byte as u8).collect()),
    })
}
