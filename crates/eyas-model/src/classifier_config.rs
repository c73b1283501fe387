//! What `config.json` says about a sequence-classification head.

use eyas_core::{Error, Result};
use serde_json::Value;

use crate::{Pooling, config_hf::optional};

/// More labels than any known classifier has.
const LARGEST_LABELS: usize = 1 << 20;

/// How logits become scores, as in transformers' text-classification pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreKind {
    /// One label fits: scores are a softmax and sum to 1.
    Softmax,
    /// Any number of labels fits: each score is a sigmoid of its own.
    Sigmoid,
}

/// A classification head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifierConfig {
    /// The labels in the order of the logits.
    pub labels: Vec<String>,
    /// How logits become scores.
    pub scores: ScoreKind,
    /// Which states the head reads.
    pub pooling: Pooling,
}

impl ClassifierConfig {
    /// Reads `architectures`, `id2label`, `num_labels` and `problem_type`; `None` where the model was made without a head. Fails with
    /// `unsupported-model` for a head of another task, and for regression, which has no labels.
    pub(crate) fn from_hf(config: &Value) -> Result<Option<Self>> {
        let architecture = config["architectures"][0].as_str().unwrap_or("Model");
        if !architecture.ends_with("ForSequenceClassification") {
            let is_headless = ["Model", "ForMaskedLM", "ForPreTraining"].iter().any(|ending| architecture.ends_with(ending));
            if is_headless && !architecture.ends_with("LMHeadModel") {
                return Ok(None);
            }
            return Err(Error::unsupported(format!(
                "config.json: the architecture {architecture:?} is not supported; supported: encoders without a head, and with one for \
                 sequence classification"
            )));
        }
        let labels = labels(config)?;
        let scores = match config["problem_type"].as_str() {
            Some("multi_label_classification") => ScoreKind::Sigmoid,
            None if labels.len() == 1 => ScoreKind::Sigmoid,
            Some("single_label_classification") | None => ScoreKind::Softmax,
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "config.json: problem_type {other:?} is not supported; supported: single_label_classification, multi_label_classification"
                )));
            }
        };
        Ok(Some(Self { labels, scores, pooling: Pooling::First }))
    }
}

fn labels(config: &Value) -> Result<Vec<String>> {
    let Some(names) = config["id2label"].as_object() else {
        let count = optional(config, "num_labels")?.unwrap_or(2);
        if count == 0 || count > LARGEST_LABELS {
            return Err(Error::bad_model(format!(
                "config.json: num_labels must be between 1 and {LARGEST_LABELS}, found {count}"
            )));
        }
        return Ok((0..count).map(|index| format!("LABEL_{index}")).collect());
    };
    let label = |index: usize| names.get(&index.to_string()).and_then(Value::as_str).map(str::to_owned);
    match (0..names.len()).map(label).collect::<Option<Vec<_>>>() {
        Some(labels) if !labels.is_empty() => Ok(labels),
        _ => Err(Error::bad_model("config.json: id2label must name every label from 0 on as a string")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(more: &Value) -> Result<Option<ClassifierConfig>> {
        let mut config = json!({"architectures": ["BertForSequenceClassification"]});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        ClassifierConfig::from_hf(&config)
    }

    #[test]
    fn labels_and_scores_follow_the_pipeline() {
        let plain = read(&json!({})).unwrap().unwrap();
        assert_eq!((plain.labels, plain.scores), (vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()], ScoreKind::Softmax));
        let single = read(&json!({"id2label": {"0": "relevant"}})).unwrap().unwrap();
        assert_eq!((single.labels, single.scores), (vec!["relevant".to_owned()], ScoreKind::Sigmoid));
        let many = read(&json!({"num_labels": 3, "problem_type": "multi_label_classification"})).unwrap().unwrap();
        assert_eq!((many.labels.len(), many.scores), (3, ScoreKind::Sigmoid));
        assert_eq!(ClassifierConfig::from_hf(&json!({"architectures": ["BertForMaskedLM"]})).unwrap(), None);
        assert_eq!(ClassifierConfig::from_hf(&json!({})).unwrap(), None);
    }

    #[test]
    fn what_has_no_labels_is_refused() {
        let cases = [
            (json!({"problem_type": "regression"}), "unsupported-model"),
            (json!({"architectures": ["BertForQuestionAnswering"]}), "unsupported-model"),
            (json!({"architectures": ["BertLMHeadModel"]}), "unsupported-model"),
            (json!({"id2label": {"0": "a", "2": "b"}}), "bad-model"),
            (json!({"id2label": {}}), "bad-model"),
            (json!({"num_labels": 0}), "bad-model"),
        ];
        for (config, code) in cases {
            assert_eq!(read(&config).unwrap_err().code(), code, "{config}");
        }
    }
}
