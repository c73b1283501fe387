//! `calibrate`: makes the threshold that `load({ calibration })` takes, and tells how well it routes.

use std::{fs, path::PathBuf};

use clap::Args;
use eyas_core::{Error, Result};
use eyas_tier::{Calibration, Example, Feasibility, Signal, Threshold, calibrate};
use serde_json::json;

use crate::{
    arguments::Common,
    deferral::{Dice, Scored},
    eval::Logged,
    risk_table::RiskTable,
    routing_report::{Measured, Part, report},
};

/// Other halves that are drawn, to see what the stated risk is worth.
const RESPLITS: usize = 400;

/// The flags of `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateCommand {
    /// A log that `eval` wrote
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The task to calibrate
    #[arg(long)]
    task: String,
    /// The signal to compare
    #[arg(long, default_value = "meanLogprob")]
    signal: Signal,
    /// The stated risk: expected badness that stays on the device, per request
    #[arg(long)]
    alpha: f64,
    /// The calibration file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Another task of the log, kept out of the calibration: how it fares shows what the threshold does with foreign input
    #[arg(long, value_name = "TASK")]
    foreign: Option<String>,
    /// Halves the examples: one half makes the threshold, the other one tests it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes a report there: Markdown, with its drawing beside it as .svg
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Writes thresholds for many risks and the deferral curve there, as JSON
    #[arg(long, value_name = "FILE")]
    risks: Option<PathBuf>,
}

/// Runs `calibrate`.
pub fn run(common: &Common, command: &CalibrateCommand) -> Result<()> {
    let log = read_log(&command.log)?;
    let of_task = |task: &str| -> Vec<&Logged> { log.iter().filter(|logged| logged.task == task).collect() };
    let mut examples = of_task(&command.task);
    let first = *examples
        .first()
        .ok_or_else(|| Error::bad_input(format!("{} has no example of the task {:?}", command.log.display(), command.task)))?;
    if examples.iter().any(|logged| (&logged.model, &logged.quantize) != (&first.model, &first.quantize)) {
        return Err(Error::bad_input("the log mixes models or quantisations; a threshold is for one of each"));
    }
    let mut dice = Dice(command.seed);
    dice.shuffle(&mut examples);
    let (calibrating, testing) = examples.split_at(examples.len() / 2);
    let pairs: Vec<_> = calibrating.iter().map(|logged| pair(logged, command.signal)).collect();
    let feasibility = Feasibility::of(&pairs, command.alpha);
    let (threshold, deferral_rate) = calibrate(&pairs, command.alpha)?;
    let entry = Threshold {
        model: first.model.clone(),
        quantize: first.quantize.clone(),
        task: command.task.clone(),
        signal: command.signal,
        threshold,
        alpha: command.alpha,
        examples: pairs.len(),
        base_risk: feasibility.base_risk,
        deferral_rate,
    };
    write_entry(&command.out, entry.clone())?;
    let foreign = command.foreign.as_deref().map(of_task).unwrap_or_default();
    let measured = Measured {
        entry,
        feasibility,
        test: part(testing, command.signal),
        foreign: part(&foreign, command.signal),
        resplit: resplit(&examples, command.signal, command.alpha, &mut dice),
        cloud_is_gold: testing.iter().all(|logged| logged.cloud_is_gold),
    };
    let [tested, strangers] = [&measured.test, &measured.foreign].map(|part| part.at(threshold));
    if let Some(path) = &command.report {
        let drawing = path.with_extension("svg");
        let name = drawing.file_name().and_then(|name| name.to_str()).unwrap_or("routing.svg").to_owned();
        let (markdown, svg) = report(&measured, command.foreign.as_deref(), &name, command.seed);
        write(path, &markdown)?;
        write(&drawing, &svg)?;
    }
    if let Some(path) = &command.risks {
        let table = RiskTable::of(&pairs, &measured);
        write(path, &format!("{}\n", serde_json::to_string(&table).map_err(|error| Error::internal(error.to_string()))?))?;
    }
    let foreign_deferral = command.foreign.as_ref().map(|_| strangers.deferral_rate);
    if common.json {
        let tested = json!({ "risk": tested.risk, "deferralRate": tested.deferral_rate, "examples": testing.len() });
        println!(
            "{}",
            json!({ "threshold": measured.entry, "feasibility": measured.feasibility, "test": tested, "foreignDeferralRate": foreign_deferral })
        );
    } else {
        println!(
            "{} ≥ {threshold:.6} stays here; {:.1}% of the calibration's examples are deferred",
            command.signal.name(),
            100.0 * deferral_rate
        );
        println!(
            "test half: risk {:.4} at a stated {}, {:.1}% deferred",
            tested.risk,
            command.alpha,
            100.0 * tested.deferral_rate
        );
        if let Some(rate) = foreign_deferral {
            println!("foreign input: {:.1}% deferred", 100.0 * rate);
        }
    }
    Ok(())
}

/// What other halves would have come to: the risk of the tested half for each of many draws, rising. Draws whose risk can't be met are left out.
fn resplit(examples: &[&Logged], signal: Signal, alpha: f64, dice: &mut Dice) -> Vec<f64> {
    let mut examples = examples.to_vec();
    let mut risks = Vec::with_capacity(RESPLITS);
    for _ in 0..RESPLITS {
        dice.shuffle(&mut examples);
        let (calibrating, testing) = examples.split_at(examples.len() / 2);
        let pairs: Vec<_> = calibrating.iter().map(|logged| pair(logged, signal)).collect();
        if let Ok((threshold, _)) = calibrate(&pairs, alpha) {
            let kept = testing.iter().filter(|logged| signal.of(&logged.signals) >= threshold);
            risks.push(kept.map(|logged| 1.0 - logged.local_quality).sum::<f64>() / testing.len() as f64);
        }
    }
    risks.sort_by(f64::total_cmp);
    risks
}

fn pair(logged: &Logged, signal: Signal) -> Example {
    Example { signal: signal.of(&logged.signals), quality: logged.local_quality }
}

fn part(examples: &[&Logged], signal: Signal) -> Part {
    let score = |logged: &Logged, score: f64| Scored { score, local: logged.local_quality, cloud: logged.cloud_quality };
    Part {
        by_signal: examples.iter().map(|logged| score(logged, signal.of(&logged.signals))).collect(),
        by_length: examples.iter().map(|logged| score(logged, -(logged.input_chars as f64))).collect(),
        probabilities: examples
            .iter()
            .filter_map(|logged| Some((logged.signals.mean_logprob?.exp(), logged.local_quality)))
            .collect(),
        all_signals: Signal::ALL
            .map(|signal| (signal, examples.iter().map(|logged| score(logged, signal.of(&logged.signals))).collect()))
            .to_vec(),
    }
}

fn read_log(path: &PathBuf) -> Result<Vec<Logged>> {
    let bad = |what: String| Error::bad_input(format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| serde_json::from_str(line).map_err(|error| bad(format!("line {}: {error}", number + 1)))).collect()
}

/// Puts an entry into a calibration file, in the place of one for the same model, quantisation and task.
fn write_entry(path: &PathBuf, entry: Threshold) -> Result<()> {
    let mut calibration = match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| Error::bad_input(format!("{}: {error}", path.display())))?,
        Err(_) => Calibration::default(),
    };
    calibration.thresholds.retain(|old| (&old.model, &old.quantize, &old.task) != (&entry.model, &entry.quantize, &entry.task));
    calibration.thresholds.push(entry);
    let text = serde_json::to_string_pretty(&calibration).map_err(|error| Error::internal(error.to_string()))?;
    write(path, &format!("{text}\n"))
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::bad_input(format!("{} can't be written: {error}", path.display())))
}
