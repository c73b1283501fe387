//! When to try again, and how long to wait before.

use serde::Deserialize;

use crate::http_date;

/// No application may ask for more retries than this: a server in trouble must not meet a storm.
const MOST_RETRIES: u32 = 5;
const FIRST_BACKOFF_MS: f64 = 500.0;
const LAST_BACKOFF_MS: f64 = 8000.0;

/// Bounds on attempts and waiting.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts after the first one, at most 5.
    pub max_retries: u32,
    /// A server that asks for a longer pause is not asked again.
    pub max_retry_after_ms: f64,
    /// From a request, or the last bytes, to the next bytes.
    pub idle_timeout_ms: f64,
    /// For the whole request with all its attempts.
    pub total_timeout_ms: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 2, max_retry_after_ms: 60_000.0, idle_timeout_ms: 30_000.0, total_timeout_ms: 600_000.0 }
    }
}

impl RetryPolicy {
    /// The bound, whatever the application asked for.
    pub fn retries(&self) -> u32 {
        self.max_retries.min(MOST_RETRIES)
    }
}

/// Whether a status is worth another attempt; the server's own word goes first.
pub(crate) fn is_worth(status: u16, should_retry: Option<&str>) -> bool {
    match should_retry {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 408 | 409 | 429 | 500..),
    }
}

/// The pause that a server asks for, in milliseconds: `retry-after-ms`, else `retry-after` in seconds or as a date.
pub(crate) fn retry_after_ms(header: impl Fn(&str) -> Option<String>, unix_ms: f64) -> Option<f64> {
    let number = |text: String| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(ms) = header("retry-after-ms").and_then(number) {
        return Some(ms);
    }
    let text = header("retry-after")?;
    let date = http_date::unix_seconds(text.trim()).map(|seconds| (seconds as f64 * 1000.0 - unix_ms).max(0.0));
    number(text).map(|seconds| seconds * 1000.0).or(date)
}

/// Exponential backoff with up to a quarter taken off at random. `seed` makes the draws differ between requests.
pub(crate) fn backoff_ms(retry: u32, seed: u64) -> f64 {
    let full = (FIRST_BACKOFF_MS * f64::from(2_u32.saturating_pow(retry.min(16)))).min(LAST_BACKOFF_MS);
    // SplitMix64's finaliser: enough to spread clients, and nothing secret depends on it.
    let mut z = seed.wrapping_add(u64::from(retry).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let random = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    full * (1.0 - 0.25 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Option<f64> {
        let find = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        retry_after_ms(find, 784_111_777_000.0)
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        assert_eq!(asked(&[("retry-after-ms", "150.5"), ("retry-after", "9")]), Some(150.5));
        assert_eq!(asked(&[("retry-after", "2")]), Some(2000.0));
        assert_eq!(asked(&[("retry-after", "0.5")]), Some(500.0));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")]), Some(3000.0));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")]), Some(0.0));
        for bad in ["-1", "soon", "NaN", "inf", ""] {
            assert_eq!(asked(&[("retry-after", bad)]), None, "{bad}");
        }
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn the_server_has_the_word_on_retries() {
        for (status, header, expected) in [
            (429, None, true),
            (408, None, true),
            (409, None, true),
            (500, None, true),
            (503, None, true),
            (400, None, false),
            (404, None, false),
            (500, Some("false"), false),
            (400, Some("true"), true),
        ] {
            assert_eq!(is_worth(status, header), expected, "{status} {header:?}");
        }
    }

    #[test]
    fn backoff_doubles_up_to_eight_seconds() {
        for seed in 0..1000 {
            for (retry, full) in [(0, 500.0), (1, 1000.0), (3, 4000.0), (4, 8000.0), (40, 8000.0)] {
                let pause = backoff_ms(retry, seed);
                assert!(pause <= full && pause >= 0.75 * full, "{retry} {pause}");
            }
        }
        assert!((backoff_ms(0, 1) - backoff_ms(0, 2)).abs() > f64::EPSILON);
        assert_eq!(RetryPolicy { max_retries: 1000, ..RetryPolicy::default() }.retries(), 5);
    }
}
