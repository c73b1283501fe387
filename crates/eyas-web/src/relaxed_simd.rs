//! The kernels for relaxed SIMD: a small module that this one carries as bytes and instantiates on its own memory, where the browser has the instructions
//! (docs/adr/0010-relaxed-simd.md).

use std::cell::OnceCell;

use eyas_kernels::relaxed_simd::{MODULE, PREFERS_PAIRS, Way, install};
use js_sys::{Function, Object, Reflect, Uint8Array, WebAssembly};
use wasm_bindgen::{JsCast, JsValue};

/// Where a way's functions stand in the function table.
type Places = [u32; Way::Quads.exports().len()];

/// The kernels in the function table.
#[derive(Clone, Copy)]
struct Instantiated {
    /// The places of each of [`Way::ALL`].
    places: [Places; Way::ALL.len()],
    /// The way that this processor is better at.
    preferred: Way,
}

thread_local! {
    /// The kernels, or that the browser has none of the instructions; filled at the first wish.
    static KERNELS: OnceCell<Option<Instantiated>> = const { OnceCell::new() };
}

/// Makes products with 4-bit weights use the kernels where they are `wanted` and can be had, in this whole module: a worker has one model.
pub(crate) fn choose(wanted: bool) {
    install_way(if wanted { kernels() } else { None }.map(|kernels| (kernels, kernels.preferred)));
}

/// Makes products with 4-bit weights go that way; returns whether the browser has the instructions.
#[cfg(feature = "parity")]
pub(crate) fn force(way: Way) -> bool {
    install_way(kernels().map(|kernels| (kernels, way)));
    kernels().is_some()
}

fn install_way(chosen: Option<(Instantiated, Way)>) {
    // SAFETY: these are that way's exports of that module, instantiated on this memory, and nothing takes them out of the table.
    unsafe { install(chosen.map(|(kernels, way)| (way, kernels.places[way as usize]))) };
}

fn kernels() -> Option<Instantiated> {
    KERNELS.with(|kernels| *kernels.get_or_init(|| instantiate().ok()))
}

fn instantiate() -> Result<Instantiated, JsValue> {
    let module = WebAssembly::Module::new(&Uint8Array::from(MODULE))?; // refused where the instructions are not known
    let (env, imports) = (Object::new(), Object::new());
    Reflect::set(&env, &JsValue::from_str("memory"), &wasm_bindgen::memory())?;
    Reflect::set(&imports, &JsValue::from_str("env"), &env)?;
    let exports = WebAssembly::Instance::new(&module, &imports)?.exports();
    let function = |name| Reflect::get(&exports, &JsValue::from_str(name))?.dyn_into::<Function>();
    let prefers_pairs = function(PREFERS_PAIRS)?.call2(&JsValue::UNDEFINED, &127.into(), &255.into())?;
    let table: WebAssembly::Table = wasm_bindgen::function_table().unchecked_into();
    let mut places = [Places::default(); Way::ALL.len()];
    let mut free = table.grow(places.as_flattened().len() as u32)?;
    for (places, way) in places.iter_mut().zip(Way::ALL) {
        for (place, name) in places.iter_mut().zip(way.exports()) {
            table.set(free, &function(name)?)?;
            *place = free;
            free += 1;
        }
    }
    Ok(Instantiated { places, preferred: if prefers_pairs.as_f64() == Some(1.0) { Way::Pairs } else { Way::Quads } })
}
