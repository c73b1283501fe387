//! Compiles the kernels for relaxed SIMD into a WebAssembly module of their own, which `cpu::relaxed` holds as bytes.

use std::{env, error::Error, fs, path::Path, process::Command};

const SOURCE: &str = "relaxed/kernels.rs";

/// Sections that the module may have: types, imports, functions, globals, exports and code. Data, elements or a start function would touch memory that is
/// not its own.
const SECTIONS: [u8; 6] = [1, 2, 3, 6, 7, 10];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH")? != "wasm32" || env::var_os("CARGO_FEATURE_CPU").is_none() {
        return Ok(());
    }
    let module = Path::new(&env::var("OUT_DIR")?).join("relaxed.wasm");
    let status = Command::new(env::var("RUSTC")?)
        .args(["--edition=2024", "--crate-name=relaxed", "--crate-type=cdylib", "--target=wasm32-unknown-unknown"])
        .args(["-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+simd128,+relaxed-simd"])
        // Without room for a stack, what used one would write below address 0, and trap.
        .args(["-Clink-arg=--import-memory", "-Clink-arg=-zstack-size=0", "-o"])
        .arg(&module)
        .arg(SOURCE)
        .status()?;
    if !status.success() {
        return Err(format!("rustc could not compile {SOURCE}: {status}").into());
    }
    check(&fs::read(&module)?)
}

/// Looks through the sections of the module (WebAssembly core specification, binary format).
fn check(module: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut rest = module.get(8..).ok_or("the module has no header")?;
    while let Some((id, behind)) = rest.split_first() {
        if !SECTIONS.contains(id) {
            return Err(format!("{SOURCE} became a module with a section {id}: it must have neither data nor a table").into());
        }
        let (mut length, mut shift, mut at) = (0_usize, 0, 0);
        loop {
            let byte = *behind.get(at).ok_or("a section is cut off")?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            at += 1;
            if byte < 0x80 {
                break;
            }
        }
        rest = behind.get(at + length..).ok_or("a section is cut off")?;
    }
    Ok(())
}
