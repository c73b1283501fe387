//! The report of a calibration: Markdown and a drawing.

use std::fmt::Write;

use eyas_tier::{Feasibility, Signal, Threshold};

use crate::deferral::{Dice, Scored, apgr, area, auroc, calibration_error, call_rate_for, curve, interval, normalised_area};

/// Examples under every score that the report compares.
pub struct Part {
    /// By the calibrated signal.
    pub by_signal: Vec<Scored>,
    /// By the prompt's length: long ones go to the cloud.
    pub by_length: Vec<Scored>,
    /// `exp` of the mean log-probability with the quality, where there is one.
    pub probabilities: Vec<(f64, f64)>,
    /// By each signal.
    pub all_signals: Vec<(Signal, Vec<Scored>)>,
}

/// What a threshold does.
pub struct AtThreshold {
    /// Mean badness that stays on the device.
    pub risk: f64,
    /// The part that is deferred.
    pub deferral_rate: f64,
}

impl Part {
    /// What `threshold` does with these examples.
    pub fn at(&self, threshold: f64) -> AtThreshold {
        let n = self.by_signal.len().max(1) as f64;
        let kept = self.by_signal.iter().filter(|example| example.score >= threshold);
        let (count, badness) = kept.fold((0.0, 0.0), |(count, badness), example| (count + 1.0, badness + 1.0 - example.local));
        AtThreshold { risk: badness / n, deferral_rate: 1.0 - count / n }
    }
}

/// Everything that is reported.
pub struct Measured {
    /// The threshold.
    pub entry: Threshold,
    /// What its risk demands.
    pub feasibility: Feasibility,
    /// The examples that did not make it.
    pub test: Part,
    /// Another task.
    pub foreign: Part,
    /// Risks of the tested half for other halves, rising.
    pub resplit: Vec<f64>,
    /// Whether gold labels stand for the cloud's answers.
    pub cloud_is_gold: bool,
}

/// The Markdown, which shows `drawing`, and the drawing (SVG).
pub fn report(measured: &Measured, foreign: Option<&str>, drawing: &str, seed: u64) -> (String, String) {
    let Measured { entry, feasibility, test, .. } = measured;
    let all = curve(&test.by_signal);
    let (local, cloud) = (all[0], all[all.len() - 1]);
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!("### {} · {} · {}", entry.task, entry.quantize, entry.signal.name()));
    line(String::new());
    line(format!(
        "Model `{}`, {} examples for the threshold and {} to test it (halves by seed {seed}). {}",
        entry.model,
        entry.examples,
        test.by_signal.len(),
        if measured.cloud_is_gold {
            "No cloud model answered: the gold labels stand for its answers."
        } else {
            "The cloud's answers are a model's own."
        }
    ));
    line(String::new());
    let tested = test.at(entry.threshold);
    line(format!(
        "- Stated risk α = {}; base risk {:.4}, so at least {:.1}% must be deferred whatever the signal.",
        entry.alpha,
        feasibility.base_risk,
        100.0 * feasibility.forced_deferral
    ));
    line(format!(
        "- Threshold {:.6}: on the test half the risk is {:.4} with {:.1}% deferred.",
        entry.threshold,
        tested.risk,
        100.0 * tested.deferral_rate
    ));
    if let [low, .., high] = &measured.resplit[..] {
        let count = measured.resplit.len();
        let (p5, p95) = (measured.resplit[count / 20], measured.resplit[count - count / 20 - 1]);
        line(format!(
            "- Over {count} other ways to halve the examples the tested risk is {:.4} in the mean, from {low:.4} to {high:.4}, nine tenths of them from \
             {p5:.4} to {p95:.4}. The stated risk is about the mean.",
            measured.resplit.iter().sum::<f64>() / count as f64,
        ));
    }
    if let Some(task) = foreign {
        let strangers = measured.foreign.at(entry.threshold);
        line(format!(
            "- {task} ({} foreign examples): {:.1}% deferred.",
            measured.foreign.by_signal.len(),
            100.0 * strangers.deferral_rate
        ));
        let together: Vec<_> = test.by_signal.iter().chain(&measured.foreign.by_signal).copied().collect();
        line(format!("- Good answers told apart from wrong ones and from foreign input: AUROC {}.", shown(auroc(&together))));
    }
    line(format!("- Expected calibration error of exp(mean log-probability): {:.4}.", calibration_error(&test.probabilities)));
    line(String::new());
    line("| router | area, 95% interval | normalised area | APGR | CPT 50 / 80 / 95 % | AUROC |".into());
    line("| --- | --- | --- | --- | --- | --- |".into());
    let mut dice = Dice(seed);
    let random: Vec<_> = test.by_signal.iter().map(|example| Scored { score: dice.below(1 << 30) as f64, ..*example }).collect();
    let oracle: Vec<_> =
        test.by_signal.iter().map(|example| Scored { score: example.local - example.cloud, ..*example }).collect();
    let signals = test.all_signals.iter().map(|(signal, scored)| (signal.name(), scored));
    for (name, scored) in signals.chain([("prompt length", &test.by_length), ("random", &random), ("oracle", &oracle)]) {
        let (low, high) = interval(scored, seed, |drawn| area(&curve(drawn)));
        let rates = [0.5, 0.8, 0.95].map(|share| format!("{:.1}", 100.0 * call_rate_for(scored, share))).join(" / ");
        line(format!(
            "| {name} | {:.4} [{low:.4}, {high:.4}] | {:.3} | {:.3} | {rates} | {} |",
            area(&curve(scored)),
            normalised_area(scored),
            apgr(scored),
            shown(auroc(scored))
        ));
    }
    line(format!("| always local | {local:.4} | | 0 | | |"));
    line(format!("| always cloud | {cloud:.4} | | 1 | 100 | |"));
    line(String::new());
    line(format!("![Quality against the part that is deferred]({drawing})"));
    let curves = [
        ("#0b7285", &test.by_signal, entry.signal.name()),
        ("#e8590c", &test.by_length, "prompt length"),
        ("#868e96", &random, "random"),
        ("#2b8a3e", &oracle, "oracle"),
    ];
    (text, svg(&curves, &band(&test.by_signal, seed), tested.deferral_rate))
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

/// 95% bootstrap intervals of a curve, pointwise at equal steps of the deferral rate from 0 to 1.
fn band(examples: &[Scored], seed: u64) -> Vec<(f64, f64)> {
    const STEPS: usize = 20;
    let at = |step: usize| move |drawn: &[Scored]| curve(drawn)[step * drawn.len() / STEPS];
    (0..=STEPS).map(|step| interval(examples, seed, at(step))).collect()
}

/// Curves over the deferral rate from 0 to 1, the first with a band around it, and a line at the threshold's rate.
fn svg(curves: &[(&str, &Vec<Scored>, &str)], band: &[(f64, f64)], deferral_rate: f64) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 360.0;
    const EDGE: f64 = 48.0;
    let drawn: Vec<_> = curves.iter().map(|(colour, scored, name)| (*colour, curve(scored), *name)).collect();
    let lows = band.iter().map(|(low, _)| *low);
    let least = drawn.iter().flat_map(|(_, curve, _)| curve).copied().chain(lows).fold(1.0, f64::min);
    let x = |rate: f64| EDGE + rate * (WIDTH - 2.0 * EDGE);
    let y = |quality: f64| HEIGHT - EDGE - (quality - least) / (1.0 - least).max(1e-9) * (HEIGHT - 2.0 * EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <path d=\"M{EDGE} {EDGE}V{}H{}\" fill=\"none\" stroke=\"#495057\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">part of the requests deferred to the cloud</text>\n\
         <text x=\"{EDGE}\" y=\"{}\">quality, {least:.3} to 1</text>\n\
         <path d=\"M{:.1} {EDGE}V{}\" stroke=\"#adb5bd\" stroke-dasharray=\"4 4\"/>\n",
        HEIGHT - EDGE,
        WIDTH - EDGE,
        WIDTH / 2.0,
        HEIGHT - 14.0,
        EDGE - 14.0,
        x(deferral_rate),
        HEIGHT - EDGE
    );
    let rate = |step: usize| step as f64 / (band.len() - 1).max(1) as f64;
    let point = |step: usize, quality: f64| format!("{:.1} {:.1}", x(rate(step)), y(quality));
    let upper = band.iter().enumerate().map(|(step, (_, high))| point(step, *high));
    let lower = band.iter().enumerate().rev().map(|(step, (low, _))| point(step, *low));
    let outline: Vec<_> = upper.chain(lower).collect();
    let _ = writeln!(svg, "<path d=\"M{}Z\" fill=\"{}\" fill-opacity=\"0.15\"/>", outline.join("L"), curves[0].0);
    for (number, (colour, curve, name)) in drawn.iter().enumerate() {
        let last = (curve.len() - 1).max(1);
        let step = (last / 200).max(1);
        let points = (0..curve.len()).filter(|k| k % step == 0 || *k == last);
        let path: Vec<_> = points.map(|k| format!("{:.1} {:.1}", x(k as f64 / last as f64), y(curve[k]))).collect();
        let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L"));
        let row = HEIGHT - EDGE - 70.0 + 16.0 * number as f64;
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{row}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>", WIDTH - EDGE - 8.0);
    }
    svg.push_str("</svg>\n");
    svg
}
