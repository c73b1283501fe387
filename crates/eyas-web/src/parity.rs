//! Every kernel against its reference on this module's device, for tests. The module that applications get does not contain it.

use eyas_kernels::{
    Tuning,
    parity::{check_suite, suites},
};
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

use crate::engine::open_device;

/// Runs `share` (0 to 1) of every operation's random cases, once for each way to cut workgroups, and returns how many there were. Throws with the
/// operation, the value and the case where one differs.
#[wasm_bindgen]
pub async fn parity(share: f64, seed: u8) -> Result<u32, JsError> {
    let owner = open_device().await.map_err(|error| JsError::new(&error.to_string()))?;
    let device = owner.device();
    let tunings = if device.is_gpu() { vec![Tuning::SOFTWARE, Tuning::HARDWARE] } else { vec![device.tuning()] };
    let mut cases = 0;
    for tuning in tunings {
        let device = device.clone().with_tuning(tuning);
        for suite in suites() {
            cases += check_suite(&suite, &device, share, seed).await.map_err(|what| JsError::new(&what))?;
        }
    }
    Ok(cases)
}
