//! How a model's files say that a text becomes a vector: the files of sentence-transformers.

use eyas_core::{Error, Result};
use eyas_model::Pooling;
use eyas_weights::{FileSet, POOLING_FILE};
use serde_json::Value;

use crate::json_file::{read_json, require_json};

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
    /// What stands before every text.
    pub(crate) prompt: String,
}

impl EmbeddingRecipe {
    /// Reads `modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json` and `config_sentence_transformers.json`. Without them, it is the mean
    /// of all tokens, as in sentence-transformers. Fails with `unsupported-model` for a module or a pooling that is not known, with `bad-model` where a
    /// file contradicts itself or `width`.
    pub(crate) async fn open(files: &dyn FileSet, width: usize) -> Result<Self> {
        let mut recipe = Self { pooling: Pooling::Mean, max_tokens: None, prompt: String::new() };
        if let Some(modules) = read_json(files, MODULES).await?
            && names_pooling(&modules)?
        {
            let pooling = require_json(files, POOLING_FILE).await?;
            recipe.pooling = pooling_of(&pooling, width).map_err(|error| error.context(POOLING_FILE))?;
        }
        if let Some(config) = read_json(files, SENTENCE_CONFIG).await? {
            recipe.max_tokens = max_tokens(&config).map_err(|error| error.context(SENTENCE_CONFIG))?;
        }
        if let Some(config) = read_json(files, PROMPTS).await? {
            recipe.prompt = default_prompt(&config).map_err(|error| error.context(PROMPTS))?;
        }
        Ok(recipe)
    }
}

/// Whether a pooling stands behind the transformer, after checking that nothing else does but a normalisation, which changes no direction.
fn names_pooling(modules: &Value) -> Result<bool> {
    let list = modules.as_array().ok_or_else(|| Error::bad_model(format!("{MODULES}: expected a list")))?;
    let mut has_pooling = false;
    for (number, module) in list.iter().enumerate() {
        let kind = module["type"].as_str().unwrap_or_default();
        let (kind, path) = (kind.rsplit('.').next().unwrap_or_default(), module["path"].as_str().unwrap_or_default());
        match (kind, path, number) {
            ("Transformer", "", 0) | ("Normalize", _, 2..) => {}
            ("Pooling", "1_Pooling", 1) => has_pooling = true,
            _ => {
                return Err(Error::unsupported(format!(
                    "{MODULES}: the module {kind:?} in {path:?} at place {number} is not supported; supported: Transformer, then Pooling in \
                     1_Pooling, then Normalize"
                )));
            }
        }
    }
    Ok(has_pooling)
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
        assert_eq!(plain, EmbeddingRecipe { pooling: Pooling::Mean, max_tokens: None, prompt: String::new() });
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
            assert_eq!(
                recipe.unwrap(),
                EmbeddingRecipe { pooling: expected, max_tokens: Some(256), prompt: "query: ".to_owned() }
            );
        }
        assert_eq!(open(&[(MODULES, modules(&[("Transformer", "")]))]).unwrap().pooling, Pooling::Mean);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let whole = modules(&[("Transformer", ""), ("Pooling", "1_Pooling")]);
        let dense = modules(&[("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]);
        let elsewhere = modules(&[("Transformer", "0_Transformer")]);
        let pooling = json!({"pooling_mode_mean_tokens": true});
        let cases = [
            (vec![(MODULES, dense), (POOLING_FILE, pooling.clone())], "unsupported-model", "Dense"),
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
        ];
        for (files, code, word) in cases {
            let error = open(&files).unwrap_err();
            assert!(error.code() == code && error.detail().contains(word), "{files:?}: {error}");
        }
    }
}
