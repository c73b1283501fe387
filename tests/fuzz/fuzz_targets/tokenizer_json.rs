//! Reads any bytes as a tokenizer.json, and uses what is accepted.
#![no_main]

use eyas_text::{EncodeOptions, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(bytes, None) else { return };
    let text = "The weather\u{2019}s  n\u{e4}ive [SEP] 12345 \u{1f600}";
    for add_special in [false, true] {
        if let Ok(ids) = tokenizer.encode(text, EncodeOptions { add_special, parse_special: add_special }) {
            let _ = tokenizer.decode(&ids, false);
        }
    }
    let _ = tokenizer.encode_pair(text, "a", 12);
});
