//! The browser's monotonic clock.

use eyas_engine::Clock;
use js_sys::{Function, Reflect, global};
use wasm_bindgen::{JsCast, JsValue};

/// `performance.now()`, in pages and workers alike.
pub(crate) struct PerformanceClock {
    performance: JsValue,
    now: Option<Function>,
}

impl PerformanceClock {
    pub(crate) fn new() -> Self {
        let performance = Reflect::get(&global(), &JsValue::from_str("performance")).unwrap_or(JsValue::UNDEFINED);
        let now = Reflect::get(&performance, &JsValue::from_str("now")).ok().and_then(|now| now.dyn_into().ok());
        Self { performance, now }
    }
}

impl Clock for PerformanceClock {
    fn now_ms(&self) -> f64 {
        let now = self.now.as_ref().and_then(|now| now.call0(&self.performance).ok());
        now.and_then(|now| now.as_f64()).unwrap_or_else(js_sys::Date::now)
    }

    fn local_seconds(&self) -> Option<i64> {
        let now = js_sys::Date::new_0();
        Some((now.get_time() / 1000.0 - now.get_timezone_offset() * 60.0) as i64)
    }
}
