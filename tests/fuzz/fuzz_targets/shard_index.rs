//! Opens a folder whose index is any bytes.
#![no_main]

use eyas_weights::{Checkpoint, MemoryFiles, ModelFiles};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

fuzz_target!(|bytes: &[u8]| {
    let header = br#"{"t":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    let shard = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    let files = vec![("model.safetensors.index.json".to_owned(), bytes.to_vec()), ("1.safetensors".to_owned(), shard)];
    if let Ok(checkpoint) = block_on(Checkpoint::open(&ModelFiles::Folder(MemoryFiles::new(files).into()))) {
        assert_eq!(checkpoint.tensors().len(), 1);
    }
});
