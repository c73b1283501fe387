//! Reads any bytes as a record of the model store, as they are and under a right digest.
#![no_main]

use eyas_store::{Digest, ModelRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelRecord::parse(bytes);
    if let Ok(json) = std::str::from_utf8(bytes) {
        let _ = ModelRecord::parse(format!("{json}\n{}\n", Digest::of(json.as_bytes())).as_bytes());
    }
});
