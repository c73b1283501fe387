//! How good routing by a score is: quality against the part of the requests that is deferred to the cloud.

/// One request as a router sees it: the higher the score, the sooner it stays on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// What the router compares.
    pub score: f64,
    /// Quality of the local answer, from 0 to 1.
    pub local: f64,
    /// Quality of the cloud's answer, from 0 to 1.
    pub cloud: f64,
}

/// Mean quality where the `k` lowest scores are deferred, for every `k` from none to all: `[n + 1]`. Among equal scores the order is that of the
/// examples, so shuffle where many are equal.
pub fn curve(examples: &[Scored]) -> Vec<f64> {
    let mut sorted = examples.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let n = sorted.len().max(1) as f64;
    let mut quality: f64 = sorted.iter().map(|example| example.local).sum();
    let mut curve = vec![quality / n];
    for example in &sorted {
        quality += example.cloud - example.local;
        curve.push(quality / n);
    }
    curve
}

/// The mean of a curve over all deferral rates.
pub fn area(curve: &[f64]) -> f64 {
    let steps = curve.len().saturating_sub(1).max(1) as f64;
    curve.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).sum::<f64>() / steps
}

/// The area normalised so that random routing is 0 and an oracle that knows both qualities is 1; 0 where the two are equal.
pub fn normalised_area(examples: &[Scored]) -> f64 {
    let all = curve(examples);
    let random = f64::midpoint(all[0], all[all.len() - 1]);
    let oracle: Vec<_> = examples.iter().map(|example| Scored { score: example.local - example.cloud, ..*example }).collect();
    let best = area(&curve(&oracle));
    if (best - random).abs() < 1e-12 { 0.0 } else { (area(&all) - random) / (best - random) }
}

/// Average performance gap recovered: the mean over deferral rates of `(q - q_local) / (q_cloud - q_local)`.
pub fn apgr(examples: &[Scored]) -> f64 {
    let all = curve(examples);
    let gap = all[all.len() - 1] - all[0];
    if gap.abs() < 1e-12 { 0.0 } else { (area(&all) - all[0]) / gap }
}

/// The part that has to be deferred to recover `share` of the gap between local and cloud.
pub fn call_rate_for(examples: &[Scored], share: f64) -> f64 {
    let all = curve(examples);
    let target = all[0] + share * (all[all.len() - 1] - all[0]);
    let deferred = all.iter().position(|quality| *quality >= target - 1e-12).unwrap_or(all.len() - 1);
    deferred as f64 / (all.len() - 1).max(1) as f64
}

/// The probability that a good local answer (quality at least 0.5) scores higher than a bad one; ties count half. None where one kind is missing.
pub fn auroc(examples: &[Scored]) -> Option<f64> {
    let mut sorted = examples.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (mut rank_sum, mut start) = (0.0, 0);
    while start < sorted.len() {
        let end = start + sorted[start..].iter().take_while(|other| other.score.total_cmp(&sorted[start].score).is_eq()).count();
        let rank = f64::midpoint((start + 1) as f64, end as f64);
        rank_sum += rank * sorted[start..end].iter().filter(|example| example.local >= 0.5).count() as f64;
        start = end;
    }
    let good = sorted.iter().filter(|example| example.local >= 0.5).count() as f64;
    let bad = sorted.len() as f64 - good;
    (good > 0.0 && bad > 0.0).then(|| (rank_sum - good * (good + 1.0) / 2.0) / (good * bad))
}

/// Expected calibration error over ten equal bins of a probability `[0, 1]` against the quality.
pub fn calibration_error(examples: &[(f64, f64)]) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for (probability, quality) in examples {
        let bin = &mut bins[((probability * 10.0) as usize).min(9)];
        *bin = (bin.0 + probability, bin.1 + quality, bin.2 + 1.0);
    }
    let n = examples.len().max(1) as f64;
    bins.iter().map(|(probability, quality, _)| (probability - quality).abs() / n).sum()
}

/// Draws that a seed repeats (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// Puts `rows` into an order of chance.
    pub fn shuffle<T>(&mut self, rows: &mut [T]) {
        for i in (1..rows.len()).rev() {
            rows.swap(i, self.below(i + 1));
        }
    }
}

/// The 95% bootstrap interval of a statistic, by percentiles.
pub fn interval(examples: &[Scored], seed: u64, statistic: impl Fn(&[Scored]) -> f64) -> (f64, f64) {
    const DRAWS: usize = 1000;
    if examples.is_empty() {
        return (0.0, 0.0);
    }
    let mut dice = Dice(seed);
    let mut values: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<_> = examples.iter().map(|_| examples[dice.below(examples.len())]).collect();
            statistic(&drawn)
        })
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    (values[DRAWS / 40], values[DRAWS - DRAWS / 40 - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(rows: &[(f64, f64)]) -> Vec<Scored> {
        rows.iter().map(|&(score, local)| Scored { score, local, cloud: 1.0 }).collect()
    }

    #[test]
    fn a_perfect_and_a_useless_score_by_hand() {
        let perfect = examples(&[(0.1, 0.0), (0.2, 0.0), (0.8, 1.0), (0.9, 1.0)]);
        assert_eq!(curve(&perfect), [0.5, 0.75, 1.0, 1.0, 1.0]);
        assert!((normalised_area(&perfect) - 1.0).abs() < 1e-12);
        assert_eq!((auroc(&perfect), call_rate_for(&perfect, 0.95)), (Some(1.0), 0.5));
        assert!((apgr(&perfect) - 0.75).abs() < 1e-12);
        let inverted = examples(&[(0.9, 0.0), (0.8, 0.0), (0.2, 1.0), (0.1, 1.0)]);
        assert_eq!(auroc(&inverted), Some(0.0));
        assert!(normalised_area(&inverted) < 0.0);
        assert_eq!(auroc(&examples(&[(0.5, 0.0), (0.5, 1.0)])), Some(0.5));
        assert_eq!(auroc(&examples(&[(0.5, 1.0)])), None);
    }

    #[test]
    fn calibration_error_by_hand() {
        assert!((calibration_error(&[(0.9, 1.0), (0.9, 0.0), (0.1, 0.0)]) - (0.8 + 0.1) / 3.0).abs() < 1e-12);
        assert!(calibration_error(&[(1.0, 1.0)]).abs() < 1e-12);
    }

    #[test]
    fn an_interval_holds_its_statistic() {
        let rows: Vec<_> = (0..200).map(|i| (f64::from(i), f64::from(u8::from(i % 3 > 0)))).collect();
        let (low, high) = interval(&examples(&rows), 1, |drawn| curve(drawn)[0]);
        assert!(low < 2.0 / 3.0 && high > 2.0 / 3.0 && high - low < 0.2, "{low} {high}");
    }
}
