//! Reads any bytes as a config.json, of a decoder and of an encoder.
#![no_main]

use eyas_model::{DecoderConfig, DenseConfig, EncoderConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice(bytes) else { return };
    if let Ok(decoder) = DecoderConfig::from_hf(&config) {
        decoder.cache_bytes(4096, 256);
    }
    if let Ok(encoder) = EncoderConfig::from_hf(&config) {
        encoder.scratch_bytes(encoder.max_tokens());
    }
    let _ = DenseConfig::from_json(&config);
});
