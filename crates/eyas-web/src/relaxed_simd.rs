//! The kernels for relaxed SIMD: a small module that this one carries as bytes and instantiates on its own memory, where the browser has the instructions
//! (docs/adr/0010-relaxed-simd.md).

use std::cell::OnceCell;

use eyas_kernels::relaxed_simd::{EXPORTS, MODULE, install};
use js_sys::{Function, Object, Reflect, Uint8Array, WebAssembly};
use wasm_bindgen::{JsCast, JsValue};

thread_local! {
    /// Where the kernels stand in the function table, or that the browser has none of the instructions; filled at the first wish.
    static PLACES: OnceCell<Option<[u32; EXPORTS.len()]>> = const { OnceCell::new() };
}

/// Makes products with 4-bit weights use the kernels where they are `wanted` and can be had, in this whole module: a worker has one model.
pub(crate) fn choose(wanted: bool) {
    let places = if wanted { PLACES.with(|places| *places.get_or_init(|| instantiate().ok())) } else { None };
    // SAFETY: these are the exports of that module, instantiated on this memory, and nothing takes them out of the table.
    unsafe { install(places) };
}

fn instantiate() -> Result<[u32; EXPORTS.len()], JsValue> {
    let module = WebAssembly::Module::new(&Uint8Array::from(MODULE))?; // refused where the instructions are not known
    let (env, imports) = (Object::new(), Object::new());
    Reflect::set(&env, &JsValue::from_str("memory"), &wasm_bindgen::memory())?;
    Reflect::set(&imports, &JsValue::from_str("env"), &env)?;
    let exports = WebAssembly::Instance::new(&module, &imports)?.exports();
    let table: WebAssembly::Table = wasm_bindgen::function_table().unchecked_into();
    let first = table.grow(EXPORTS.len() as u32)?;
    let mut places = [0; EXPORTS.len()];
    for ((place, at), name) in places.iter_mut().zip(first..).zip(EXPORTS) {
        let function: Function = Reflect::get(&exports, &JsValue::from_str(name))?.dyn_into()?;
        table.set(at, &function)?;
        *place = at;
    }
    Ok(places)
}
