//! Makes the JavaScript glue of a WebAssembly module: `eyas-bindgen INPUT.wasm OUT_DIR OUT_NAME`.
//!
//! It is wasm-bindgen's own library behind three arguments, pinned to the version that the module is built with, so that
//! nobody has to install a matching command-line tool. It writes no TypeScript declarations (the package states the
//! contract itself) and no default module path (the page resolves the module's URL and hands it to the worker).

use std::{env, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, out_dir, out_name] = arguments.as_slice() else {
        eprintln!("usage: eyas-bindgen INPUT.wasm OUT_DIR OUT_NAME");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).out_name(out_name).typescript(false).omit_default_module_path(true);
    let generated = bindgen.web(true).and_then(|bindgen| bindgen.generate(out_dir));
    match generated {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eyas-bindgen: {input}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
