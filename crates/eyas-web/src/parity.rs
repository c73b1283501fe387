//! Every kernel against its reference on this module's device, for tests. The module that applications get does not contain it.

use eyas_core::TuningSource;
use eyas_kernels::{
    Tuning,
    parity::{check_suite, suites},
};
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

use crate::engine::{TuningChoice, open_device};

/// Runs `share` (0 to 1) of every operation's random cases, each with the next way to cut workgroups, and on a CPU with this way of relaxed SIMD ("quads" or
/// "pairs") or, where none is given, without it, and returns how many there were. Throws with the operation, the value and the case where one differs.
#[wasm_bindgen]
pub async fn parity(share: f64, seed: u8, relaxed_simd: Option<String>) -> Result<u32, JsError> {
    let owner = open_device(&mut TuningChoice::Assumed, false).await.map_err(|error| JsError::new(&error.to_string()))?;
    if let Some(way) = relaxed_simd {
        force(&way).map_err(|what| JsError::new(&what))?;
    }
    let device = owner.device();
    let tunings = if device.is_gpu() { Tuning::variants() } else { vec![device.tuning()] };
    let devices: Vec<_> = tunings.into_iter().map(|tuning| device.clone().with_tuning(tuning, TuningSource::Given)).collect();
    let mut cases = 0;
    for suite in suites() {
        cases += check_suite(&suite, &devices, share, seed).await.map_err(|what| JsError::new(&what))?;
    }
    Ok(cases)
}

#[cfg(not(feature = "gpu"))]
fn force(way: &str) -> Result<(), String> {
    use eyas_kernels::relaxed_simd::Way;

    let way = match way {
        "quads" => Way::Quads,
        "pairs" => Way::Pairs,
        _ => return Err(format!("relaxed SIMD has no way called {way}")),
    };
    if crate::relaxed_simd::force(way) { Ok(()) } else { Err("this browser has no relaxed SIMD".into()) }
}

#[cfg(feature = "gpu")]
fn force(_: &str) -> Result<(), String> {
    Err("relaxed SIMD is for CPUs".into())
}
