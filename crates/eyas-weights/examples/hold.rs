//! Holds a stored matrix in memory and writes what is held as floats, for measuring what a format loses.
//!
//! ```sh
//! cargo run --release -p eyas-weights --example hold -- Q6_K q8 256 < blocks > floats
//! ```
//!
//! The arguments are the stored format, the kind to hold it in (f32, f16, bf16, q8, q4) and the number of columns; standard error tells the time.

use std::{
    io::{Read, Write, stdin, stdout},
    time::Instant,
};

use eyas_core::{Error, Result, WeightKind};
use eyas_weights::{SourceKind, pack_rows, unpack_rows};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, cols] = arguments.as_slice() else {
        return Err(Error::bad_input(
            "expected three arguments: the stored format, the kind to hold it in, the number of columns",
        ));
    };
    let find = |name: &str| SourceKind::ALL.into_iter().find(|kind| kind.to_string() == name);
    let source = find(source).ok_or_else(|| Error::bad_input(format!("the stored format {source:?} is not known")))?;
    let target = WeightKind::ALL
        .into_iter()
        .find(|kind| format!("{kind:?}").to_lowercase() == *target)
        .ok_or_else(|| Error::bad_input(format!("the kind {target:?} is not known")))?;
    let cols: usize = cols.parse().map_err(|_| Error::bad_input(format!("{cols:?} is no number of columns")))?;
    let failed = |error: std::io::Error| Error::internal(format!("reading or writing failed: {error}"));

    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes).map_err(failed)?;
    let rows = bytes.len() / source.row_bytes(cols).max(1);
    let start = Instant::now();
    let packed = pack_rows(source, &bytes, rows, cols, target)?;
    let nanoseconds = start.elapsed().as_secs_f64() * 1e9 / (rows * cols).max(1) as f64;
    eprintln!("{source} to {target:?}: {nanoseconds:.2} ns a weight");
    let floats = unpack_rows(target, &packed.words, &packed.scales, rows, cols);
    let bytes: Vec<u8> = floats.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    stdout().write_all(&bytes).map_err(failed)
}
