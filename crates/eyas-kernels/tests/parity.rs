//! Every operation against its reference over random shapes, on the CPU and, where there is an adapter, on the GPU. In a browser the same cases run in
//! tests/browser/parity.test.mjs.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{cell::Cell, sync::OnceLock};

use burn::tensor::{Tensor, TensorData};
use eyas_core::TuningSource;
use eyas_kernels::{
    Choice, KernelDevice, Recording, Tuning,
    parity::{runner, suites},
};
use proptest::prelude::*;

/// The GPU, or none with a printed reason.
fn gpu() -> Option<&'static KernelDevice> {
    static GPU: OnceLock<Option<KernelDevice>> = OnceLock::new();
    GPU.get_or_init(|| match pollster::block_on(KernelDevice::gpu()) {
        Ok(device) => {
            eprintln!("parity on {}", device.report().name);
            Some(device)
        }
        Err(error) => {
            eprintln!("SKIPPED on the GPU: {error}");
            None
        }
    })
    .as_ref()
}

/// Runs an operation's cases on the CPU, and on the GPU with workgroups cut for software, for hardware, and in one more way, another one each time;
/// `EYAS_CASES=10` runs ten times as many.
fn check(name: &str) {
    let factor = std::env::var("EYAS_CASES").ok().and_then(|factor| factor.parse::<u32>().ok()).unwrap_or(1);
    let suite = suites().into_iter().find(|suite| suite.name == name).unwrap();
    let variants = Tuning::variants();
    let turn = Cell::new(0);
    runner(suite.cases * factor, 7)
        .run(&suite.strategy, |case| {
            let other = variants[2 + turn.replace(turn.get() + 1) % (variants.len() - 2)];
            let tunings = [Tuning::SOFTWARE, Tuning::HARDWARE, other];
            let gpus = gpu().map(|gpu| tunings.map(|tuning| gpu.clone().with_tuning(tuning, TuningSource::Given)));
            for device in std::iter::once(KernelDevice::cpu()).chain(gpus.into_iter().flatten()) {
                let told = |what| TestCaseError::fail(format!("{what} ({:?})", device.tuning()));
                pollster::block_on(case.check(&device)).map_err(told)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_operation_is_tested() {
    let names: Vec<_> = suites().iter().map(|suite| suite.name).collect();
    let tested = [
        "products",
        "stored rows",
        "embedding",
        "norm",
        "layer norm",
        "activation",
        "residual",
        "softcap",
        "attention",
        "attention across blocks",
        "copy",
    ];
    assert_eq!(names, tested);
}

#[test]
fn products() {
    check("products");
}

#[test]
fn stored_rows() {
    check("stored rows");
}

#[test]
fn embedding() {
    check("embedding");
}

#[test]
fn norm() {
    check("norm");
}

#[test]
fn layer_norm() {
    check("layer norm");
}

#[test]
fn activation() {
    check("activation");
}

#[test]
fn residual() {
    check("residual");
}

#[test]
fn softcap() {
    check("softcap");
}

#[test]
fn attention() {
    check("attention");
}

#[test]
fn attention_across_blocks() {
    check("attention across blocks");
}

#[test]
fn copy() {
    check("copy");
}

/// The choice alone: a recording whose step is a tensor of logits that was there before.
#[test]
fn greedy_choices() {
    let Some(gpu) = gpu() else { return };
    runner(20, 7)
        .run(&(1_usize..5000, 0_usize..3, any::<u64>()), |(vocab, fault, seed)| {
            // Few levels, so that the largest value comes more than once.
            let mut logits: Vec<f32> =
                (0..vocab as u64).map(|id| ((seed ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as f32).collect();
            let expected = (0..vocab).fold(0, |best, id| if logits[id] > logits[best] { id } else { best }) as u32;
            if fault > 0 {
                logits[seed as usize % vocab] = [f32::NAN, f32::NEG_INFINITY][fault - 1];
            }
            for reduce_lanes in [1, 4, 16, 32, 64, 128, 256] {
                let device = gpu.clone().with_tuning(Tuning { reduce_lanes, ..Tuning::SOFTWARE }, TuningSource::Given);
                let values = Tensor::<2>::from_data(TensorData::new(logits.clone(), [1, vocab]), device.burn());
                let recording = Recording::capture(&device, 0, 0, vocab, Choice::Greedy, |_, held| {
                    held.push(values.clone());
                    values.clone()
                })
                .unwrap();
                let picked = pollster::block_on(recording.replay_greedy(&device, 13, 0, 5));
                match fault {
                    0 => prop_assert_eq!(picked.unwrap(), vec![expected; 5]),
                    _ => prop_assert!(picked.unwrap_err().detail().contains("not a finite number")),
                }
            }
            Ok(())
        })
        .unwrap();
}
