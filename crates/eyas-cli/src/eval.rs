//! `eval`: runs a task file through the local model, and a cloud model where one is named, and writes what routing can be judged by, one line an example.

use std::{
    fs,
    io::{BufWriter, Write},
    path::PathBuf,
    time::Instant,
};

use clap::Args;
use eyas_core::{Error, Event, GenerateOptions, Message, Result};
use eyas_engine::{Engine, Prompt, Request};
use eyas_tier::Confidence;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    arguments::Common,
    cloud_model::{CloudFlags, CloudModel},
    load::load,
};

/// The flags of `eval`.
#[derive(Debug, Args)]
pub struct EvalCommand {
    /// A folder with a model, or a .gguf file
    #[arg(long)]
    model: PathBuf,
    /// JSON lines: {"task", "input", "gold", "labels"?, "cloud"?}; `labels` are those among which the answer chooses; a gold of null says that no answer of this model can be right; `cloud` is what a cloud
    /// model answered, and where it is absent the gold answer stands for it
    #[arg(long, value_name = "FILE")]
    tasks: PathBuf,
    /// The log to write: JSON lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The answer should be JSON
    #[arg(long)]
    expects_json: bool,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    #[command(flatten)]
    cloud: CloudFlags,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskLine {
    task: String,
    input: String,
    gold: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    cloud: Option<String>,
}

/// One line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logged {
    /// The task.
    pub task: String,
    /// The fingerprint of the model's weights.
    pub model: String,
    /// The kind in which its matrices are held.
    pub quantize: String,
    /// 1 where the answer is the gold label to the letter, else 0.
    pub local_quality: f64,
    /// The same of the cloud's answer; 1 where the gold label stands for it.
    pub cloud_quality: f64,
    /// Whether the gold label stands for the cloud's answer.
    pub cloud_is_gold: bool,
    /// What the run told of its certainty.
    pub signals: Confidence,
    /// Characters of the input, for the baseline that routes by length.
    pub input_chars: usize,
    /// Tokens of prompt and answer.
    pub tokens: usize,
    /// Bytes that were sent to the cloud.
    pub bytes: u64,
    /// Milliseconds of the local answer.
    pub ms: f64,
    /// Milliseconds of the cloud's answer, where it was asked.
    pub cloud_ms: Option<f64>,
}

/// Runs `eval`.
pub async fn run(common: &Common, command: &EvalCommand) -> Result<()> {
    let failed = |path: &PathBuf, error: std::io::Error| Error::bad_input(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&command.tasks).map_err(|error| failed(&command.tasks, error))?;
    let mut tasks = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let task: TaskLine = serde_json::from_str(line)
            .map_err(|error| Error::bad_input(format!("{}, line {}: {error}", command.tasks.display(), number + 1)))?;
        tasks.push(task);
    }
    let cloud = CloudModel::open(&command.cloud)?;
    let engine = load(common, &command.model).await?;
    let mut out = BufWriter::new(fs::File::create(&command.out).map_err(|error| failed(&command.out, error))?);
    let (mut right, mut cloud_right, mut ms) = (0.0, 0.0, 0.0);
    for task in &tasks {
        let logged =
            example(&engine, cloud.as_ref(), command, task).await.map_err(|error| error.context(format!("{:?}", task.input)))?;
        right += logged.local_quality;
        cloud_right += logged.cloud_quality;
        ms += logged.ms;
        let line = serde_json::to_string(&logged).map_err(|error| Error::internal(error.to_string()))?;
        writeln!(out, "{line}").map_err(|error| failed(&command.out, error))?;
    }
    out.flush().map_err(|error| failed(&command.out, error))?;
    let count = tasks.len().max(1) as f64;
    if common.json {
        println!(
            "{}",
            json!({ "examples": tasks.len(), "localQuality": right / count, "cloudQuality": cloud_right / count, "msPerExample": ms / count })
        );
    } else {
        println!(
            "{} examples, quality {:.4} local and {:.4} cloud, {:.1} ms each",
            tasks.len(),
            right / count,
            cloud_right / count,
            ms / count
        );
    }
    Ok(())
}

async fn example(engine: &Engine, cloud: Option<&CloudModel>, command: &EvalCommand, task: &TaskLine) -> Result<Logged> {
    let options = GenerateOptions { max_tokens: command.max_tokens, ..GenerateOptions::default() };
    let prompt = Prompt::Messages(vec![Message::user(&task.input)]);
    let begin = Instant::now();
    let session = engine.session();
    let mut generation = session.start(&Request::new(prompt, options.clone()))?;
    generation.watch_labels(&task.labels)?;
    let completion = loop {
        if let Event::Done(completion) = generation.next().await? {
            break completion;
        }
    };
    let ms = begin.elapsed().as_secs_f64() * 1000.0;
    let cloud = match cloud {
        Some(cloud) => Some(cloud.answer(&task.input, &options).await?),
        None => None,
    };
    let cloud_text = cloud.as_ref().map(|answer| answer.text.as_str()).or(task.cloud.as_deref());
    let info = engine.info();
    let is_gold = |answer: &str| f64::from(u8::from(task.gold.as_deref() == Some(answer)));
    Ok(Logged {
        task: task.task.clone(),
        model: info.fingerprint,
        quantize: info.quantize.name().into(),
        local_quality: is_gold(&completion.text),
        cloud_quality: cloud_text.map_or(1.0, is_gold),
        cloud_is_gold: cloud_text.is_none(),
        signals: Confidence::of(generation.signals(), &completion.text, &task.input, command.expects_json),
        input_chars: task.input.chars().count(),
        tokens: completion.usage.prompt_tokens + completion.usage.completion_tokens,
        bytes: cloud.as_ref().map_or(0, |answer| answer.bytes),
        ms,
        cloud_ms: cloud.map(|answer| answer.ms),
    })
}
