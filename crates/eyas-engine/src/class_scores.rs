//! From a classification head's logits to scores.

use eyas_core::{Error, ErrorKind, Result};
use eyas_model::{ClassifierConfig, ScoreKind};

use crate::LabelScore;

/// The labels with their scores, the highest first. Fails with `bad-device` where a logit is no finite number.
pub(crate) fn class_scores(logits: &[f32], classifier: &ClassifierConfig) -> Result<Vec<LabelScore>> {
    if let Some(bad) = logits.iter().find(|logit| !logit.is_finite()) {
        let detail = format!("a label's logit is {bad}, expected a finite number; load the model on another device");
        return Err(Error::new(ErrorKind::BadDevice, detail));
    }
    let scores: Vec<f32> = match classifier.scores {
        ScoreKind::Sigmoid => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
        ScoreKind::Softmax => {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = logits.iter().map(|logit| (logit - max).exp()).sum();
            logits.iter().map(|logit| (logit - max).exp() / total).collect()
        }
    };
    let mut scores: Vec<_> =
        classifier.labels.iter().zip(scores).map(|(label, score)| LabelScore { label: label.clone(), score }).collect();
    eyas_core::sort_by(&mut scores, |a, b| b.score.total_cmp(&a.score));
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use eyas_model::Pooling;

    use super::*;

    #[test]
    fn one_label_or_several_fit() {
        let classifier = |scores| ClassifierConfig { labels: vec!["a".into(), "b".into()], scores, pooling: Pooling::First };
        let softmax = class_scores(&[0.0, 3.0_f32.ln()], &classifier(ScoreKind::Softmax)).unwrap();
        assert_eq!(softmax[0].label, "b");
        assert!((softmax[0].score - 0.75).abs() < 1e-6 && (softmax[1].score - 0.25).abs() < 1e-6);
        let sigmoid = class_scores(&[0.0, 3.0_f32.ln()], &classifier(ScoreKind::Sigmoid)).unwrap();
        assert!((sigmoid[0].score - 0.75).abs() < 1e-6 && (sigmoid[1].score - 0.5).abs() < 1e-6);
        assert_eq!(class_scores(&[f32::INFINITY, 0.0], &classifier(ScoreKind::Softmax)).unwrap_err().code(), "bad-device");
    }
}
