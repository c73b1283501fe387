//! The operations on Burn's Flex tensors: SIMD128 on WebAssembly, plain Rust natively, one thread.

mod activation;
mod attention;
mod backend;
pub(crate) mod grouped_rows;
#[cfg(not(target_arch = "wasm32"))]
#[path = "integer_plain.rs"]
mod integer;
#[cfg(target_arch = "wasm32")]
#[path = "integer_simd128.rs"]
mod integer;
mod matmul;
mod norm;
mod quantized_input;
#[cfg(target_arch = "wasm32")]
mod relaxed;
mod row_groups;
#[cfg(not(target_arch = "wasm32"))]
#[path = "row_products_plain.rs"]
mod row_products;
#[cfg(target_arch = "wasm32")]
#[path = "row_products_simd128.rs"]
mod row_products;
#[cfg(not(target_arch = "wasm32"))]
#[path = "transpose_plain.rs"]
mod transpose;
#[cfg(target_arch = "wasm32")]
#[path = "transpose_simd128.rs"]
mod transpose;
#[cfg(not(target_arch = "wasm32"))]
#[path = "vector_plain.rs"]
mod vector;
#[cfg(target_arch = "wasm32")]
#[path = "vector_simd128.rs"]
mod vector;

pub(crate) use attention::value_strip;

/// What this CPU path is called in reports.
pub(crate) fn name() -> &'static str {
    #[cfg(target_arch = "wasm32")]
    if let Some(name) = relaxed::name() {
        return name;
    }
    vector::NAME
}

/// What puts the kernels for relaxed SIMD in place; empty natively.
pub mod relaxed_simd {
    #[cfg(target_arch = "wasm32")]
    pub use super::relaxed::{MODULE, PREFERS_PAIRS, Way, install};
}

/// How many steps there are from the least to the largest integer that a product's input is rounded to, for weights of this kind.
#[cfg(feature = "parity")]
pub(crate) fn input_steps(kind: eyas_core::WeightKind) -> f32 {
    #[cfg(target_arch = "wasm32")]
    if kind == eyas_core::WeightKind::Q4 && relaxed::is_installed() {
        return 254.0;
    }
    let _ = kind;
    65534.0
}
