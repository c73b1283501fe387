//! Opens any bytes as a safetensors file and reads every tensor that it claims to have.
#![no_main]

use eyas_weights::{Checkpoint, MemoryFiles, ModelFiles, decode_rows};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

fuzz_target!(|bytes: &[u8]| {
    let files = MemoryFiles::new(vec![("model.safetensors".to_owned(), bytes.to_vec())]);
    let Ok(checkpoint) = block_on(Checkpoint::open(&ModelFiles::Folder(files.into()))) else { return };
    for tensor in checkpoint.tensors() {
        let stored =
            block_on(checkpoint.read_rows(tensor, 0..tensor.rows())).expect("the header was checked against the file's size");
        decode_rows(tensor.kind, &stored, tensor.rows(), tensor.cols()).expect("whole rows were read");
    }
});
