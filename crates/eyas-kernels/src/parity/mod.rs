//! Every operation against its reference over random shapes: what the native tests run, and what a browser can run on its own devices.
//!
//! Only with the feature `parity`; no application carries it. A failure names the operation, the device, and the value.

mod attention;
mod matrices;
mod packing;
mod rows;
mod stored;

use std::fmt::Debug;

use burn::tensor::{Tensor, TensorData};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{KernelDevice, read_f32};

/// What a check finds: nothing, or what differs.
pub type Outcome = Result<(), String>;

/// A random shape with random numbers.
#[derive(Debug, Clone)]
pub enum Case {
    /// Products, added products and gated products with a packed matrix.
    Products(matrices::Products),
    /// A matrix that comes as a file stores it.
    Stored(stored::Stored),
    /// Rows of a packed matrix.
    Embedding(matrices::Embedding),
    /// Normalisation.
    Norm(rows::Norm),
    /// Normalisation of a sum by mean and variance.
    LayerNorm(rows::LayerNorm),
    /// Activations.
    Activation(rows::Activated),
    /// A contribution to the residual stream.
    Residual(rows::Residual),
    /// Capped logits.
    Softcap(rows::Softcap),
    /// Rotation, append and attention.
    Attention(attention::Attention),
    /// A copy of rows.
    Copy(rows::Copy),
}

impl Case {
    /// Compares the operation on `device` with its reference.
    pub async fn check(&self, device: &KernelDevice) -> Outcome {
        match self {
            Self::Products(case) => case.check(device).await,
            Self::Stored(case) => case.check(device).await,
            Self::Embedding(case) => case.check(device).await,
            Self::Norm(case) => case.check(device).await,
            Self::LayerNorm(case) => case.check(device).await,
            Self::Activation(case) => case.check(device).await,
            Self::Residual(case) => case.check(device).await,
            Self::Softcap(case) => case.check(device).await,
            Self::Attention(case) => case.check(device).await,
            Self::Copy(case) => case.check(device).await,
        }
    }
}

/// The cases of an operation.
pub struct Suite {
    /// The operation.
    pub name: &'static str,
    /// How many cases a test takes: every shape compiles pipelines of its own, which is what takes the time.
    pub cases: u32,
    /// Draws a case.
    pub strategy: BoxedStrategy<Case>,
}

/// All operations.
pub fn suites() -> Vec<Suite> {
    let suite = |name, cases, strategy| Suite { name, cases, strategy };
    vec![
        suite("products", 40, matrices::products().prop_map(Case::Products).boxed()),
        suite("stored rows", 60, stored::stored().prop_map(Case::Stored).boxed()),
        suite("embedding", 20, matrices::embedding().prop_map(Case::Embedding).boxed()),
        suite("norm", 20, rows::norm().prop_map(Case::Norm).boxed()),
        suite("layer norm", 20, rows::layer_norm().prop_map(Case::LayerNorm).boxed()),
        suite("activation", 10, rows::activation().prop_map(Case::Activation).boxed()),
        suite("residual", 20, rows::residual().prop_map(Case::Residual).boxed()),
        suite("softcap", 10, rows::softcap().prop_map(Case::Softcap).boxed()),
        suite("attention", 50, attention::attention().prop_map(Case::Attention).boxed()),
        suite("attention across blocks", 20, attention::attention_across_blocks().prop_map(Case::Attention).boxed()),
        suite("copy", 10, rows::copy().prop_map(Case::Copy).boxed()),
    ]
}

/// A seeded runner: the same cases every time.
pub fn runner(cases: u32, seed: u8) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

/// Checks `share` (0 to 1) of a suite's cases, at least one, each on the next of `devices`; returns how many, or the first failure with its case.
pub async fn check_suite(suite: &Suite, devices: &[KernelDevice], share: f64, seed: u8) -> Result<u32, String> {
    let cases = ((f64::from(suite.cases) * share) as u32).max(1);
    let mut runner = runner(cases, seed);
    for (_, device) in (0..cases).zip(devices.iter().cycle()) {
        let case = suite.strategy.new_tree(&mut runner).map_err(|reason| format!("no case was drawn: {reason}"))?.current();
        case.check(device).await.map_err(|what| format!("{what}; the case: {case:?}, {:?}", device.tuning()))?;
    }
    Ok(cases)
}

/// Numbers in -1..1 that depend on a seed only.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn floats2(values: &[f32], rows: usize, device: &KernelDevice) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), device.burn())
}

fn floats1(values: &[f32], device: &KernelDevice) -> Tensor<1> {
    let values = if values.is_empty() { vec![0.0] } else { values.to_vec() };
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device.burn())
}

async fn read<const D: usize>(device: &KernelDevice, tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    read_f32(device, tensor).await.map_err(|error| error.to_string())
}

/// Fails unless every value is within `tolerance` of the largest expected magnitude.
fn close(what: &str, device: &KernelDevice, found: &[f32], expected: &[f32], tolerance: f32) -> Outcome {
    let name = &device.report().name;
    if found.len() != expected.len() {
        return Err(format!("{what} on {name}: {} values, expected {}", found.len(), expected.len()));
    }
    let scale = expected.iter().fold(1e-6_f32, |a, v| a.max(v.abs()));
    let is_close = |f: &f32, e: &f32| (f - e).abs() / scale <= tolerance; // what is no number is not
    match found.iter().zip(expected).position(|(f, e)| !is_close(f, e)) {
        None => Ok(()),
        Some(i) => Err(format!("{what} on {name}: value {i} is {}, expected {}", found[i], expected[i])),
    }
}

/// Tokens as the model gives them: one, or a whole number of a thread's share.
fn tokens() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1_usize), Just(8), Just(16), 2_usize..7]
}
