//! How a model's files say that a text becomes a vector: the files of sentence-transformers.

use std::collections::BTreeMap;

use eyas_core::{Error, Result};
use eyas_model::{DenseConfig, Pooling};
use eyas_weights::{Checkpoint, FileSet, ModelFiles, POOLING_FILE};
use serde_json::Value;

use crate::{
    json_file::{missing, read_json, require_json},
    model_text::metadata,
};

const MODULES: &str = "modules.json";
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";

/// How a text becomes a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbeddingRecipe {
    /// Which states make the vector.
    pub(crate) pooling: Pooling,
    /// Tokens of a text, where the model was trained on fewer than it has positions for.
    pub(crate) max_tokens: Option<usize>,
    /// What stands before a text, where nothing else is asked for.
    pub(crate) prompt: String,
    /// What may stand before a text instead, by name.
    pub(crate) prompts: BTreeMap<String, String>,
    /// Projections behind the pooling, with the folders of their files, or their names in the model's own file.
    pub(crate) projections: Vec<(String, DenseConfig)>,
}

impl EmbeddingRecipe {
    /// Reads `modules.json`, `1_Pooling/config.json`, `config.json` of every projection, `sentence_bert_config.json` and
    /// `config_sentence_transformers.json`. Without them, it is the mean of all tokens, as in sentence-transformers. Fails with `unsupported-model` for a module or a pooling that is not known, with `bad-model` where a
    /// file contradicts itself or `width`.
    pub(crate) async fn open(files: &dyn FileSet, width: usize) -> Result<Self> {
        let mut recipe = Self::plain();
        let modules = read_json(files, MODULES).await?.map(|modules| Modules::read(&modules)).transpose()?.unwrap_or_default();
        let mut pools_prompt = true;
        if modules.has_pooling {
            let pooling = require_json(files, POOLING_FILE).await?;
            recipe.pooling = pooling_of(&pooling, width).map_err(|error| error.context(POOLING_FILE))?;
            pools_prompt = pooling["include_prompt"] != false;
        }
        let mut width = width;
        for folder in modules.projections {
            let file = format!("{folder}/config.json");
            let config = DenseConfig::from_json(&require_json(files, &file).await?).map_err(|error| error.context(&file))?;
            if config.in_features != width {
                return Err(Error::bad_model(format!(
                    "{file}: in_features is {}, but what it reads has {width} values",
                    config.in_features
                )));
            }
            width = config.out_features;
            recipe.projections.push((folder, config));
        }
        if let Some(config) = read_json(files, SENTENCE_CONFIG).await? {
            recipe.max_tokens = max_tokens(&config).map_err(|error| error.context(SENTENCE_CONFIG))?;
        }
        if let Some(config) = read_json(files, PROMPTS).await? {
            recipe.prompts = prompts(&config).map_err(|error| error.context(PROMPTS))?;
            recipe.prompt = default_prompt(&config).map_err(|error| error.context(PROMPTS))?;
        }
        if !pools_prompt && recipe.prompts.values().any(|prompt| !prompt.is_empty()) {
            return Err(Error::unsupported(format!(
                "{POOLING_FILE}: prompts whose tokens are left out of the pooling (include_prompt) are not supported"
            )));
        }
        Ok(recipe)
    }

    /// The recipe of a model whose headers are read: of a folder as [`Self::open`] reads it, of a GGUF file the pooling that its metadata
    /// names and the projections that it holds.
    pub(crate) async fn of(files: &ModelFiles, checkpoint: &Checkpoint, width: usize) -> Result<Self> {
        if let ModelFiles::Folder(folder) = files {
            return Self::open(folder.as_ref(), width).await;
        }
        let mut recipe = Self::plain();
        let metadata = metadata(checkpoint)?;
        let key = format!("{}.pooling_type", metadata.get_str("general.architecture")?.unwrap_or_default());
        recipe.pooling = match metadata.get_u64(&key)? {
            None | Some(1) => Pooling::Mean,
            Some(2) => Pooling::First,
            Some(3) => Pooling::Last,
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "GGUF: {key} {other} is not supported; supported: 1 (mean), 2 (cls) and 3 (last)"
                )));
            }
        };
        let projections = DenseConfig::of_gguf(checkpoint, width)?;
        recipe.projections = projections.into_iter().map(|config| (config.tensor.to_owned(), config)).collect();
        Ok(recipe)
    }

    /// The mean of all tokens, and nothing else.
    fn plain() -> Self {
        Self {
            pooling: Pooling::Mean,
            max_tokens: None,
            prompt: String::new(),
            prompts: BTreeMap::new(),
            projections: Vec::new(),
        }
    }

    /// What stands before a text: the default prompt, or the one of a name. Fails with `bad-input` for a name that the model does not have.
    pub(crate) fn prompt(&self, name: Option<&str>) -> Result<&str> {
        let Some(name) = name else { return Ok(&self.prompt) };
        self.prompts.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<&str> = self.prompts.keys().map(String::as_str).collect();
            Error::bad_input(format!(
                "the model has no prompt {name:?}; it has: {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ))
        })
    }

    /// Values of a vector of a model whose states have `width`.
    pub(crate) fn dimensions(&self, width: usize) -> usize {
        self.projections.last().map_or(width, |(_, config)| config.out_features)
    }

    /// Reads the header of a projection's file; none where the model's own file has the projection. Fails with `model-not-found` where there is no such
    /// file.
    pub(crate) async fn open_projection(files: &ModelFiles, folder: &str) -> Result<Option<Checkpoint>> {
        let ModelFiles::Folder(files) = files else { return Ok(None) };
        let name = format!("{folder}/model.safetensors");
        let file = files.open(&name).await?.ok_or_else(|| missing(files.as_ref(), &name))?;
        Checkpoint::open_safetensors(file).await.map(Some).map_err(|error| error.context(&name))
    }
}

/// What stands behind the transformer.
#[derive(Default)]
struct Modules {
    has_pooling: bool,
    /// Folders of projections, in their order.
    projections: Vec<String>,
}

impl Modules {
    /// Reads them, after checking that nothing stands behind the transformer but a pooling, projections, and last a normalisation, which changes no
    /// direction.
    fn read(modules: &Value) -> Result<Self> {
        let list = modules.as_array().ok_or_else(|| Error::bad_model(format!("{MODULES}: expected a list")))?;
        let mut found = Self::default();
        let mut is_normalized = false;
        for (number, module) in list.iter().enumerate() {
            let kind = module["type"].as_str().unwrap_or_default();
            let (kind, path) = (kind.rsplit('.').next().unwrap_or_default(), module["path"].as_str().unwrap_or_default());
            match (kind, path, number) {
                ("Transformer", "", 0) => {}
                ("Normalize", _, 2..) => is_normalized = true,
                ("Pooling", "1_Pooling", 1) => found.has_pooling = true,
                ("Dense", folder, 2..=9) if folder == format!("{number}_Dense") && found.has_pooling && !is_normalized => {
                    found.projections.push(folder.to_owned());
                }
                _ => {
                    return Err(Error::unsupported(format!(
                        "{MODULES}: the module {kind:?} in {path:?} at place {number} is not supported; supported: Transformer, then Pooling in \
                         1_Pooling, then Dense in 2_Dense and so on, then Normalize"
                    )));
                }
            }
        }
        Ok(found)
    }
}

fn pooling_of(config: &Value, width: usize) -> Result<Pooling> {
    if let Some(dimension) = config["word_embedding_dimension"].as_u64()
        && dimension != width as u64
    {
        return Err(Error::bad_model(format!(
            "word_embedding_dimension is {dimension}, but the encoder's states have {width} values"
        )));
    }
    let named: Vec<&str> = if let Some(mode) = config["pooling_mode"].as_str() {
        vec![mode]
    } else {
        let modes = config.as_object().into_iter().flatten();
        modes.filter(|(_, value)| **value == true).filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect()
    };
    match named.as_slice() {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => {
            Err(Error::unsupported(format!("the pooling {named:?} is not supported; supported: one of mean, cls and lasttoken")))
        }
    }
}

fn max_tokens(config: &Value) -> Result<Option<usize>> {
    if config["do_lower_case"] == true {
        return Err(Error::unsupported("do_lower_case is not supported; use a tokenizer.json whose normalizer lowers case"));
    }
    match &config["max_seq_length"] {
        Value::Null => Ok(None),
        value => match value.as_u64().and_then(|most| usize::try_from(most).ok()) {
            Some(most) if most > 0 => Ok(Some(most)),
            _ => Err(Error::bad_model(format!("max_seq_length must be a whole number of at least 1, found {value}"))),
        },
    }
}

fn prompts(config: &Value) -> Result<BTreeMap<String, String>> {
    let Some(prompts) = config["prompts"].as_object() else { return Ok(BTreeMap::new()) };
    let mut texts = BTreeMap::new();
    for (name, prompt) in prompts {
        let text = prompt.as_str().ok_or_else(|| Error::bad_model("prompts must hold a text for each name"))?;
        texts.insert(name.clone(), text.to_owned());
    }
    Ok(texts)
}

fn default_prompt(config: &Value) -> Result<String> {
    let Some(name) = config["default_prompt_name"].as_str() else { return Ok(String::new()) };
    let prompt = config["prompts"][name].as_str();
    prompt
        .map(str::to_owned)
        .ok_or_else(|| Error::bad_model(format!("default_prompt_name is {name:?}, which prompts does not have")))
}

#[cfg(test)]
mod tests {
    use eyas_weights::MemoryFiles;
    use pollster::block_on;
    use serde_json::json;

    use super::*;

    fn modules(kinds: &[(&str, &str)]) -> Value {
        kinds.iter().map(|(kind, path)| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path})).collect()
    }

    fn open(files: &[(&str, Value)]) -> Result<EmbeddingRecipe> {
        let files = files.iter().map(|(name, json)| ((*name).to_owned(), json.to_string().into_bytes())).collect();
        block_on(EmbeddingRecipe::open(&MemoryFiles::new(files), 8))
    }

    #[test]
    fn files_of_sentence_transformers_are_followed() {
        let plain = open(&[]).unwrap();
        assert_eq!((plain.pooling, plain.max_tokens, plain.prompt.as_str(), plain.dimensions(8)), (Pooling::Mean, None, "", 8));
        let whole = modules(&[("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]);
        for (pooling, expected) in [
            (
                json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}),
                Pooling::First,
            ),
            (json!({"pooling_mode_lasttoken": true, "include_prompt": true}), Pooling::Last),
            (json!({"pooling_mode": "mean"}), Pooling::Mean),
        ] {
            let recipe = open(&[
                (MODULES, whole.clone()),
                (POOLING_FILE, pooling),
                (SENTENCE_CONFIG, json!({"max_seq_length": 256, "do_lower_case": false})),
                (PROMPTS, json!({"prompts": {"query": "query: "}, "default_prompt_name": "query"})),
            ]);
            let recipe = recipe.unwrap();
            assert_eq!((recipe.pooling, recipe.max_tokens, recipe.prompt(None).unwrap()), (expected, Some(256), "query: "));
        }
        assert_eq!(open(&[(MODULES, modules(&[("Transformer", "")]))]).unwrap().pooling, Pooling::Mean);
    }

    #[test]
    fn projections_and_prompts_are_found_by_name() {
        let recipe = open(&[
            (
                MODULES,
                modules(&[
                    ("Transformer", ""),
                    ("Pooling", "1_Pooling"),
                    ("Dense", "2_Dense"),
                    ("Dense", "3_Dense"),
                    ("Normalize", "4_Normalize"),
                ]),
            ),
            (POOLING_FILE, json!({"pooling_mode_mean_tokens": true})),
            ("2_Dense/config.json", json!({"in_features": 8, "out_features": 20})),
            ("3_Dense/config.json", json!({"in_features": 20, "out_features": 5, "bias": false})),
            (PROMPTS, json!({"prompts": {"query": "query: ", "document": "text: "}, "default_prompt_name": null})),
        ])
        .unwrap();
        assert_eq!((recipe.projections.len(), recipe.projections[1].0.as_str(), recipe.dimensions(8)), (2, "3_Dense", 5));
        assert_eq!((recipe.prompt(None).unwrap(), recipe.prompt(Some("document")).unwrap()), ("", "text: "));
        let error = recipe.prompt(Some("title")).unwrap_err();
        assert!(error.code() == "bad-input" && error.detail().contains("document, query"), "{error}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let whole = modules(&[("Transformer", ""), ("Pooling", "1_Pooling")]);
        let chain = |kinds: &[(&str, &str)]| modules(&[&[("Transformer", ""), ("Pooling", "1_Pooling")], kinds].concat());
        let dense = chain(&[("Dense", "2_Dense")]);
        let late = chain(&[("Normalize", "2_Normalize"), ("Dense", "3_Dense")]);
        let strange = chain(&[("Dense", "dense")]);
        let foreign = chain(&[("LSTM", "2_LSTM")]);
        let elsewhere = modules(&[("Transformer", "0_Transformer")]);
        let pooling = json!({"pooling_mode_mean_tokens": true});
        let cases = [
            (vec![(MODULES, late)], "unsupported-model", "3_Dense"),
            (vec![(MODULES, strange)], "unsupported-model", "dense"),
            (vec![(MODULES, foreign)], "unsupported-model", "LSTM"),
            (vec![(MODULES, dense.clone()), (POOLING_FILE, pooling.clone())], "model-not-found", "2_Dense/config.json"),
            (
                vec![
                    (MODULES, dense),
                    (POOLING_FILE, pooling.clone()),
                    ("2_Dense/config.json", json!({"in_features": 7, "out_features": 5})),
                ],
                "bad-model",
                "in_features",
            ),
            (
                vec![
                    (MODULES, whole.clone()),
                    (POOLING_FILE, json!({"pooling_mode_mean_tokens": true, "include_prompt": false})),
                    (PROMPTS, json!({"prompts": {"query": "q: "}})),
                ],
                "unsupported-model",
                "include_prompt",
            ),
            (vec![(MODULES, elsewhere)], "unsupported-model", "0_Transformer"),
            (vec![(MODULES, json!({}))], "bad-model", "list"),
            (vec![(MODULES, whole.clone())], "model-not-found", POOLING_FILE),
            (
                vec![(MODULES, whole.clone()), (POOLING_FILE, json!({"pooling_mode_max_tokens": true}))],
                "unsupported-model",
                "max_tokens",
            ),
            (
                vec![
                    (MODULES, whole.clone()),
                    (POOLING_FILE, json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})),
                ],
                "unsupported-model",
                "cls_token",
            ),
            (
                vec![(MODULES, whole), (POOLING_FILE, json!({"word_embedding_dimension": 9}))],
                "bad-model",
                "word_embedding_dimension",
            ),
            (vec![(SENTENCE_CONFIG, json!({"max_seq_length": 0}))], "bad-model", "max_seq_length"),
            (vec![(SENTENCE_CONFIG, json!({"do_lower_case": true}))], "unsupported-model", "do_lower_case"),
            (vec![(PROMPTS, json!({"default_prompt_name": "query"}))], "bad-model", "query"),
            (vec![(PROMPTS, json!({"prompts": {"query": 7}}))], "bad-model", "prompts"),
        ];
        for (files, code, word) in cases {
            let error = open(&files).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{files:?}: {error}");
        }
    }
}
