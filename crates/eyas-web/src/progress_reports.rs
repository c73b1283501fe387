//! A load's progress on its way to the page.

use std::cell::Cell;

use eyas_core::{LoadPhase, Progress};
use eyas_store::{ByteSource, Meter};
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::{clock::PerformanceClock, js_value};

/// Each report costs as much as the packing of some hundred KB. So of weights that come quickly only these parts of all bytes are told,
const PARTS: u64 = 128;
/// and not more often than a page is drawn,
const LEAST_MS: f64 = 16.0;
/// unless they are one of these: what has come stays untold where nothing more comes.
const LARGE_PARTS: u64 = 16;
/// Where they come slowly, what is new is told after so long.
const MOST_MS: f64 = 100.0;

/// A progress report with where the bytes come from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MeteredProgress {
    #[serde(flatten)]
    progress: Progress,
    source: ByteSource,
    fetched_bytes: u64,
    bytes_per_second: Option<f64>,
    remaining_ms: Option<f64>,
}

impl MeteredProgress {
    pub(crate) fn new(progress: Progress, meter: &Meter) -> Self {
        // What lies ahead of the loader has come, too, and takes no time of the network any more.
        let here_bytes = progress.loaded_bytes + meter.ahead_bytes();
        let bytes_per_second = meter.bytes_per_second();
        let left = progress.total_bytes.saturating_sub(here_bytes) as f64;
        let remaining_ms =
            bytes_per_second.filter(|rate| *rate > 0.0 && progress.total_bytes > 0).map(|rate| left * 1000.0 / rate);
        Self { source: meter.source(), fetched_bytes: meter.fetched_bytes(), bytes_per_second, remaining_ms, progress }
    }
}

/// Tells a page's callback how far a load is: what it says stays behind what there is by less than a 128th of all bytes, or, of what came
/// within a frame, a 16th.
pub(crate) struct ProgressReports<'a> {
    on_progress: &'a Function,
    clock: PerformanceClock,
    /// Phase, bytes and time of the last report.
    last: Cell<Option<(LoadPhase, u64, f64)>>,
}

impl<'a> ProgressReports<'a> {
    /// `on_progress` gets [`MeteredProgress`] as an object.
    pub(crate) fn new(on_progress: &'a Function) -> Self {
        Self { on_progress, clock: PerformanceClock::new(), last: Cell::default() }
    }

    /// Tells it, or leaves it to a later report.
    pub(crate) fn tell(&self, progress: Progress, meter: &Meter) {
        let now_ms = eyas_engine::Clock::now_ms(&self.clock);
        let is_soon = |(phase, bytes, ms): (LoadPhase, u64, f64)| {
            let more_bytes = progress.loaded_bytes.saturating_sub(bytes);
            let after_ms = match more_bytes {
                bytes if bytes < progress.total_bytes / PARTS => MOST_MS,
                bytes if bytes < progress.total_bytes / LARGE_PARTS => LEAST_MS,
                _ => 0.0,
            };
            phase == progress.phase && now_ms < ms + after_ms
        };
        let is_between = progress.phase == LoadPhase::Weights && progress.loaded_bytes < progress.total_bytes;
        if is_between && self.last.get().is_some_and(is_soon) {
            return;
        }
        self.last.set(Some((progress.phase, progress.loaded_bytes, now_ms)));
        if let Ok(progress) = js_value::write(&MeteredProgress::new(progress, meter)) {
            // An exception in the page's callback is the page's; the load goes on.
            let _ = self.on_progress.call1(&JsValue::UNDEFINED, &progress);
        }
    }
}
