//! How many connections a download has.

/// The most.
const MAX_LANES: usize = 3;
/// Bytes that come sooner after a change say nothing of its rate: a connection begins slowly.
const SETTLING_MS: f64 = 1_000.0;
/// For so long the rate is measured then.
const MEASURED_MS: f64 = 2_000.0;
/// Another connection stays where the rate grew by this factor; where each has a limit of its own, two have twice the rate, and three one and a half times that.
const GAIN: f64 = 1.25;
/// So often a connection may break beside another one before no more are tried.
const MAX_BREAKS: usize = 3;
/// A download that ends sooner is not worth trying.
const WORTH_MS: f64 = 10_000.0;

/// Tries whether another connection makes a download faster, and counts as many as do.
pub(crate) struct Lanes {
    count: usize,
    is_settled: bool,
    /// When what is being done now began, and bytes that had come then.
    since: Option<(f64, u64)>,
    is_measuring: bool,
    /// Bytes a second with one connection less.
    before: Option<f64>,
    breaks: usize,
}

impl Lanes {
    /// One connection; others are tried where `may_grow`.
    pub(crate) fn new(may_grow: bool) -> Self {
        Self { count: 1, is_settled: !may_grow, since: None, is_measuring: false, before: None, breaks: 0 }
    }

    /// How many connections there are to be.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Goes back to one connection for good.
    pub(crate) fn close(&mut self) {
        (self.count, self.is_settled) = (1, true);
    }

    /// One of them broke: the others go on, and after a while another one is tried again, unless that happened too often.
    pub(crate) fn lose(&mut self) {
        if self.count == 1 {
            return;
        }
        self.count -= 1;
        self.breaks += 1;
        self.is_settled = self.breaks >= MAX_BREAKS;
        (self.since, self.is_measuring, self.before) = (None, false, None);
    }

    /// At `now_ms`, `fetched_bytes` have come in all, and `left_bytes` are still to come.
    pub(crate) fn observe(&mut self, now_ms: f64, fetched_bytes: u64, left_bytes: u64) {
        if self.is_settled {
            return;
        }
        let (began_ms, bytes) = *self.since.get_or_insert((now_ms, fetched_bytes));
        let passed_ms = now_ms - began_ms;
        if passed_ms < if self.is_measuring { MEASURED_MS } else { SETTLING_MS } {
            return;
        }
        self.since = Some((now_ms, fetched_bytes));
        self.is_measuring = !self.is_measuring;
        if self.is_measuring {
            return; // it has settled
        }
        let rate = fetched_bytes.saturating_sub(bytes) as f64 * 1_000.0 / passed_ms;
        if self.before.is_some_and(|before| rate < before * GAIN) {
            (self.count, self.is_settled) = (self.count - 1, true);
        } else if self.count == MAX_LANES || left_bytes as f64 * 1_000.0 < rate * WORTH_MS {
            self.is_settled = true;
        } else {
            self.before = Some(rate);
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a download of `bytes` with `rate(lanes)` bytes a second: the most connections that it had, those at its end, and its time.
    fn download(bytes: u64, rate: impl Fn(usize) -> f64) -> (usize, usize, f64) {
        let (mut lanes, mut most, mut now_ms, mut fetched) = (Lanes::new(true), 1, 0.0, 0.0);
        while (fetched as u64) < bytes {
            now_ms += 10.0;
            fetched += rate(lanes.count()) / 100.0;
            lanes.observe(now_ms, fetched as u64, bytes.saturating_sub(fetched as u64));
            most = most.max(lanes.count());
        }
        (most, lanes.count(), now_ms)
    }

    #[test]
    fn connections_stay_where_each_has_a_rate_of_its_own() {
        let (most, end, ms) = download(500_000_000, |lanes| 8e6 * lanes as f64);
        assert_eq!((most, end), (3, 3));
        assert!(ms < 62_500.0 / 2.0, "{ms}");
    }

    #[test]
    fn a_connection_that_helps_little_is_closed() {
        let shared = |lanes: usize| if lanes > 1 { 8.5e6 } else { 8e6 };
        assert_eq!(download(500_000_000, shared).0, 2);
        assert_eq!(download(500_000_000, shared).1, 1);
        assert_eq!(download(500_000_000, |lanes| 8e6 * lanes.min(2) as f64).1, 2);
    }

    #[test]
    fn what_ends_soon_is_not_worth_trying() {
        assert_eq!(download(500_000_000, |_| 100e6).0, 1);
        assert_eq!(download(10_000_000, |_| 1.2e6).0, 1);
    }

    #[test]
    fn a_connection_that_breaks_is_tried_again_but_not_for_ever() {
        let (mut lanes, mut now_ms, mut fetched) = (Lanes::new(true), 0.0, 0.0);
        for breaks in 1..=MAX_BREAKS + 1 {
            for _ in 0..2_000 {
                now_ms += 10.0;
                fetched += 1e4 * lanes.count() as f64;
                lanes.observe(now_ms, fetched as u64, 1 << 40);
            }
            assert_eq!(lanes.count(), if breaks <= MAX_BREAKS { 3 } else { 2 });
            lanes.lose();
            assert_eq!(lanes.count(), if breaks <= MAX_BREAKS { 2 } else { 1 });
        }
        lanes.lose();
        assert_eq!(lanes.count(), 1);
    }

    #[test]
    fn what_is_closed_stays_closed() {
        let mut lanes = Lanes::new(true);
        lanes.close();
        for second in 0..100 {
            lanes.observe(f64::from(second) * 1_000.0, second as u64, 1 << 30);
        }
        assert_eq!(lanes.count(), 1);
        assert_eq!(download(1 << 30, |lanes| if lanes == 1 { 1e6 } else { 0.9e6 }).1, 1);
    }
}
