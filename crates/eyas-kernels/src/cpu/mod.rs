//! The operations on Burn's Flex tensors: SIMD128 on WebAssembly, plain Rust natively, one thread.

mod attention;
mod backend;
mod matmul;
mod norm;
#[cfg(not(target_arch = "wasm32"))]
#[path = "vector_plain.rs"]
mod vector;
#[cfg(target_arch = "wasm32")]
#[path = "vector_simd128.rs"]
mod vector;

pub(crate) use vector::NAME;
