//! `inspect`: what a model's files hold, and what of it is refused.

use std::path::PathBuf;

use clap::Args;
use eyas_core::{Error, Quantize, Result, WeightKind, format_bytes};
use eyas_engine::{ModelKind, open_checkpoint, open_config, open_encoder_config, open_template, open_tokenizer};
use eyas_model::{DecoderConfig, EncoderConfig, encoder_target_kind, planned_bytes, planned_encoder_bytes, target_kind};
use eyas_weights::{Checkpoint, ModelFiles, TensorInfo};
use serde_json::{Value, json};

use crate::{arguments::Common, load::open_files};

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectCommand {
    /// A folder with a model, or a .gguf file
    model: PathBuf,
}

/// Runs `inspect`. A part that is refused is listed with its code and does not fail the command; no weights are read.
pub async fn run(common: &Common, command: &InspectCommand) -> Result<()> {
    let files = open_files(&command.model).await?;
    let report = Report::gather(&files, common.quantize.into()).await;
    if common.json {
        println!("{}", report.to_json());
    } else {
        report.print();
    }
    Ok(())
}

/// What was found.
#[derive(Default)]
struct Report {
    checkpoint: Option<Checkpoint>,
    config: Option<DecoderConfig>,
    encoder: Option<EncoderConfig>,
    kinds: Vec<WeightKind>, // of the checkpoint's tensors once loaded
    loaded_bytes: Option<u64>,
    vocab_size: Option<usize>,
    has_chat_template: bool,
    refusals: Vec<(&'static str, Error)>,
}

impl Report {
    async fn gather(files: &ModelFiles, quantize: Quantize) -> Self {
        let mut report = Self::default();
        let checkpoint = report.keep("weights", open_checkpoint(files).await);
        if let Some(checkpoint) = &checkpoint {
            let stored = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
            report.kinds = checkpoint.tensors().iter().map(|tensor| loaded_kind(tensor, quantize, stored)).collect();
            if ModelKind::of_opened(files, checkpoint).await.is_ok_and(|kind| kind == ModelKind::Encoder) {
                let config = open_encoder_config(files, checkpoint).await;
                if let Ok(config) = &config {
                    let kind = |tensor| encoder_target_kind(checkpoint, config, quantize, tensor);
                    report.kinds = checkpoint.tensors().iter().map(kind).collect();
                    let planned = planned_encoder_bytes(checkpoint, config, quantize);
                    report.loaded_bytes = report.keep("tensors", planned);
                }
                report.encoder = report.keep("configuration", config);
            } else {
                let config = open_config(files, checkpoint).await;
                if let Ok(config) = &config {
                    let planned = planned_bytes(checkpoint, config, quantize);
                    report.loaded_bytes = report.keep("tensors", planned);
                }
                report.config = report.keep("configuration", config);
            }
        }
        // A GGUF file that can't be read would only be refused a second and a third time.
        if checkpoint.is_some() || matches!(files, ModelFiles::Folder(_)) {
            let tokenizer = report.keep("tokenizer", open_tokenizer(files).await);
            report.vocab_size = tokenizer.map(|tokenizer| tokenizer.vocab_size());
            report.has_chat_template = report.keep("chat template", open_template(files).await).flatten().is_some();
        }
        report.checkpoint = checkpoint;
        report
    }

    fn keep<T>(&mut self, part: &'static str, found: Result<T>) -> Option<T> {
        found.map_err(|error| self.refusals.push((part, error))).ok()
    }

    fn tensors(&self) -> impl Iterator<Item = (&TensorInfo, WeightKind, u64)> {
        let tensors = self.checkpoint.as_ref().map(Checkpoint::tensors).unwrap_or_default();
        tensors.iter().zip(&self.kinds).map(|(tensor, kind)| (tensor, *kind, kind.matrix_bytes(tensor.rows(), tensor.cols())))
    }

    fn stored_bytes(&self) -> u64 {
        self.tensors().map(|(tensor, ..)| tensor.bytes).sum()
    }

    fn architecture(&self) -> Option<&str> {
        let decoder = self.config.as_ref().map(|config| config.architecture.as_str());
        decoder.or(self.encoder.as_ref().map(EncoderConfig::architecture))
    }

    fn to_json(&self) -> Value {
        let tensors: Vec<Value> = self
            .tensors()
            .map(|(tensor, kind, bytes)| {
                json!({
                    "name": tensor.name, "shape": tensor.shape, "kind": tensor.kind.to_string(), "storedBytes": tensor.bytes,
                    "loadedKind": kind, "loadedBytes": bytes,
                })
            })
            .collect();
        let config = self.config.as_ref().map(|config| {
            json!({
                "vocabSize": config.vocab_size, "hiddenSize": config.hidden_size, "intermediateSize": config.intermediate_size,
                "layers": config.layers.len(), "heads": config.heads, "kvHeads": config.kv_heads, "headDim": config.head_dim,
                "maxPositionEmbeddings": config.max_position_embeddings,
                "cacheBytesPerToken": config.cache_bytes(1, 1),
            })
        });
        let encoder = self.encoder.as_ref().map(|config| {
            json!({
                "vocabSize": config.vocab_size, "hiddenSize": config.hidden_size, "intermediateSize": config.intermediate_size,
                "layers": config.layers.len(), "heads": config.heads, "maxTokens": config.max_tokens(),
                "labels": config.classifier.as_ref().map(|classifier| &classifier.labels),
            })
        });
        let refusals: Vec<Value> = self
            .refusals
            .iter()
            .map(|(part, error)| json!({ "part": part, "code": error.code(), "message": error.detail() }))
            .collect();
        json!({
            "format": self.checkpoint.as_ref().map(|checkpoint| format!("{:?}", checkpoint.format()).to_lowercase()),
            "architecture": self.architecture(),
            "config": config.or(encoder),
            "tokenizerVocabSize": self.vocab_size,
            "hasChatTemplate": self.has_chat_template,
            "tensors": tensors,
            "storedBytes": self.stored_bytes(),
            "loadedBytes": self.loaded_bytes,
            "refusals": refusals,
        })
    }

    fn print(&self) {
        if let Some(config) = &self.config {
            println!(
                "{}: {} layers, hidden {}, MLP {}, {} heads ({} key-value) of {}, vocabulary {}, context {}",
                config.architecture,
                config.layers.len(),
                config.hidden_size,
                config.intermediate_size,
                config.heads,
                config.kv_heads,
                config.head_dim,
                config.vocab_size,
                config.max_position_embeddings
            );
            println!("KV cache: {} a token", format_bytes(config.cache_bytes(1, 1)));
        }
        if let Some(config) = &self.encoder {
            println!(
                "{} (encoder): {} layers, hidden {}, MLP {}, {} heads, vocabulary {}, texts of at most {} tokens",
                config.architecture(),
                config.layers.len(),
                config.hidden_size,
                config.intermediate_size,
                config.heads,
                config.vocab_size,
                config.max_tokens()
            );
            if let Some(classifier) = &config.classifier {
                println!("labels: {}", classifier.labels.join(", "));
            }
        }
        if let Some(size) = self.vocab_size {
            println!("tokenizer: {size} tokens, {} chat template", if self.has_chat_template { "a" } else { "no" });
        }
        if let Some(checkpoint) = &self.checkpoint {
            println!("{:?}: {} tensors", checkpoint.format(), checkpoint.tensors().len());
            for (tensor, kind, bytes) in self.tensors() {
                let (kind, shape) = (format!("{kind:?}"), format!("{:?}", tensor.shape));
                println!(
                    "  {:<48} {shape:<16} {:>5} {:>12} -> {kind:>5} {bytes:>12}",
                    tensor.name,
                    tensor.kind.to_string(),
                    tensor.bytes
                );
            }
            let loaded = self.loaded_bytes.map_or("can't be".to_owned(), |bytes| bytes.to_string());
            println!("bytes: {} as stored, {loaded} as loaded", self.stored_bytes());
        }
        for (part, error) in &self.refusals {
            println!("refused: {part}: {error}");
        }
    }
}

/// The kind in which a tensor is held: vectors as floats, matrices as the options say.
fn loaded_kind(tensor: &TensorInfo, quantize: Quantize, stored_bytes: u64) -> WeightKind {
    if tensor.shape.len() < 2 { WeightKind::F32 } else { target_kind(quantize, tensor, stored_bytes) }
}
