//! Every kernel against its reference over random shapes, on the CPU and, where there is an adapter, on the GPU.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::sync::OnceLock;

use burn::tensor::{Tensor, TensorData};
use eyas_core::WeightKind;
use eyas_kernels::{
    Activation, AttentionSpec, KernelDevice, MatrixSpec, QkNorm, ResidualSpec, RopeSpec, Tuning, attention, copy_rows, embed,
    matmul, matmul_add, matmul_gated, read_f32, reference, residual_norm, rms_norm, rope_append, softcap, upload_matrix,
    write_step,
};
use half::{bf16, f16};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// The GPU with both ways to cut workgroups, or none with a printed reason.
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

/// The CPU, and the GPU with workgroups cut for software and for hardware.
fn devices() -> Vec<KernelDevice> {
    let mut devices = vec![KernelDevice::cpu()];
    if let Some(gpu) = gpu() {
        devices.push(gpu.clone().with_tuning(Tuning::SOFTWARE));
        devices.push(gpu.clone().with_tuning(Tuning::HARDWARE));
    }
    devices
}

/// A seeded runner: the same cases every time. Every shape compiles pipelines of its own, which is what takes the time; `EYAS_CASES=10` runs
/// ten times as many.
fn runner(cases: u32) -> TestRunner {
    let factor = std::env::var("EYAS_CASES").ok().and_then(|factor| factor.parse::<u32>().ok()).unwrap_or(1);
    let cases = cases * factor;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
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

/// Packs floats; returns words, scales and the values that they stand for.
fn pack(kind: WeightKind, values: &[f32], rows: usize, cols: usize) -> (Vec<u32>, Vec<f32>, Vec<f32>) {
    let (mut words, mut scales, mut exact) = (Vec::new(), Vec::new(), Vec::new());
    for row in values.chunks(cols).take(rows) {
        match kind {
            WeightKind::F32 => {
                words.extend(row.iter().map(|v| v.to_bits()));
                exact.extend_from_slice(row);
            }
            WeightKind::F16 | WeightKind::Bf16 => {
                let bits =
                    |v: f32| if kind == WeightKind::F16 { f16::from_f32(v).to_bits() } else { bf16::from_f32(v).to_bits() };
                let back =
                    |b: u16| if kind == WeightKind::F16 { f16::from_bits(b).to_f32() } else { bf16::from_bits(b).to_f32() };
                exact.extend(row.iter().map(|v| back(bits(*v))));
                words.extend(row.chunks(2).map(|p| u32::from(bits(p[0])) | u32::from(bits(*p.get(1).unwrap_or(&0.0))) << 16));
            }
            WeightKind::Q8 | WeightKind::Q4 => {
                for block in row.chunks(32) {
                    let scale =
                        block.iter().fold(1e-3_f32, |a, v| a.max(v.abs())) / if kind == WeightKind::Q8 { 127.0 } else { 7.0 };
                    scales.push(scale);
                    let mut levels: Vec<i32> = block.iter().map(|v| (v / scale).round() as i32).collect();
                    exact.extend(levels.iter().map(|level| *level as f32 * scale));
                    levels.resize(32, 0);
                    if kind == WeightKind::Q8 {
                        words.extend(
                            levels.chunks(4).map(|c| u32::from_le_bytes([c[0] as u8, c[1] as u8, c[2] as u8, c[3] as u8])),
                        );
                    } else {
                        words.extend(
                            levels.chunks(8).map(|c| c.iter().enumerate().fold(0, |w, (j, l)| w | ((l + 8) as u32) << (4 * j))),
                        );
                    }
                }
            }
        }
    }
    (words, scales, exact)
}

fn floats2(values: &[f32], rows: usize, device: &KernelDevice) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), device.burn())
}

fn floats1(values: &[f32], device: &KernelDevice) -> Tensor<1> {
    let values = if values.is_empty() { vec![0.0] } else { values.to_vec() };
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device.burn())
}

fn read<const D: usize>(device: &KernelDevice, tensor: Tensor<D>) -> Vec<f32> {
    pollster::block_on(read_f32(device, tensor)).unwrap()
}

/// Fails unless every value is within `tolerance` of the largest expected magnitude.
fn close(what: &str, device: &KernelDevice, found: &[f32], expected: &[f32], tolerance: f32) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len(), "{} on {}", what, device.report().name);
    let scale = expected.iter().fold(1e-6_f32, |a, v| a.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / scale;
        prop_assert!(error <= tolerance, "{what} on {}: value {i} is {f}, expected {e}", device.report().name);
    }
    Ok(())
}

/// What rounding the activations (-1..1) to 15 bits and a sign may add to a product on the CPU, relative to the largest expected magnitude.
fn rounding(device: &KernelDevice, kind: WeightKind, weights: &[f32], cols: usize, expected: &[f32]) -> f32 {
    if device.is_gpu() || !kind.is_quantized() {
        return 0.0;
    }
    let largest_row = weights.chunks(cols).map(|row| row.iter().map(|w| w.abs()).sum::<f32>()).fold(0.0, f32::max);
    largest_row / 65534.0 / expected.iter().fold(1e-6, |largest, v| v.abs().max(largest))
}

/// Tokens as the model gives them: one, or a whole number of a thread's share.
fn tokens() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1_usize), Just(8), Just(16), 2_usize..7]
}

fn kind() -> impl Strategy<Value = WeightKind> {
    prop::sample::select(WeightKind::ALL.to_vec())
}

#[test]
fn products() {
    let strategy = (kind(), 1_usize..80, 1_usize..150, tokens(), any::<bool>(), any::<u64>());
    runner(40)
        .run(&strategy, |(kind, rows, cols, tokens, has_bias, seed)| {
            let rows = rows * 2;
            let (words, scales, exact) = pack(kind, &noise(seed, rows * cols), rows, cols);
            let x = noise(seed ^ 1, tokens * cols);
            let bias = if has_bias { noise(seed ^ 2, rows) } else { Vec::new() };
            let residual = noise(seed ^ 3, tokens * rows);
            let spec = MatrixSpec { rows, cols, kind, has_bias };
            let expected = reference::matmul(&exact, has_bias.then_some(&bias[..]), &x, rows, cols);
            let summed: Vec<f32> = expected.iter().zip(&residual).map(|(a, b)| a + b).collect();
            for device in devices() {
                let tuning = device.tuning();
                let rounded = rounding(&device, kind, &exact, cols, &expected);
                let (words, scales) = upload_matrix(&device, words.clone(), scales.clone(), spec);
                let bias = floats1(&bias, &device);
                let x_tk = floats2(&x, tokens, &device);
                let y = matmul(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), spec, tuning);
                close("matmul", &device, &read(&device, y), &expected, 1e-5 + rounded)?;
                let residual = floats2(&residual, tokens, &device);
                let y = matmul_add(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), residual, spec, tuning);
                close("matmul_add", &device, &read(&device, y), &summed, 1e-5 + 2.0 * rounded)?;
                if !has_bias {
                    for activation in [Activation::Silu, Activation::GeluTanh] {
                        let largest = expected.iter().fold(1.0_f32, |largest, v| v.abs().max(largest));
                        let expected = reference::matmul_gated(&exact, &x, activation, rows, cols);
                        // Both factors are rounded, and neither's error is magnified by more than the other's size.
                        let rounded = 2.2 * largest * rounding(&device, kind, &exact, cols, &expected);
                        let y = matmul_gated(words.clone(), scales.clone(), bias.clone(), x_tk.clone(), activation, spec, tuning);
                        close("matmul_gated", &device, &read(&device, y), &expected, 2e-5 + rounded)?;
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn embeddings() {
    runner(20)
        .run(&(kind(), 1_usize..60, 1_usize..150, 1_usize..9, any::<u64>()), |(kind, rows, cols, tokens, seed)| {
            let (words, scales, exact) = pack(kind, &noise(seed, rows * cols), rows, cols);
            let ids: Vec<u32> = (0..tokens as u64).map(|t| ((seed ^ t.wrapping_mul(31)) % (rows as u64 + 1)) as u32).collect();
            let expected: Vec<f32> = ids
                .iter()
                .flat_map(|id| (0..cols).map(|c| exact.get(*id as usize * cols + c).copied().unwrap_or(0.0)).collect::<Vec<_>>())
                .collect();
            let spec = MatrixSpec { rows, cols, kind, has_bias: false };
            let scale = 1.0 + (seed % 7) as f32;
            let expected: Vec<f32> = expected.iter().map(|value| value * scale).collect();
            for device in devices() {
                let step = write_step(&device, 0, &ids, tokens);
                let (words, scales) = upload_matrix(&device, words.clone(), scales.clone(), spec);
                let y = embed(words, scales, step, tokens, scale, spec);
                close("embed", &device, &read(&device, y), &expected, 1e-6)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn normalisation() {
    runner(20)
        .run(&(1_usize..200, tokens(), any::<u64>()), |(d, tokens, seed)| {
            let (x, weight) = (noise(seed, tokens * d), noise(seed ^ 1, d));
            let expected = reference::rms_norm(&x, &weight, 1e-5);
            for device in devices() {
                let y = rms_norm(floats2(&x, tokens, &device), floats1(&weight, &device), 1e-5, device.tuning());
                close("rms_norm", &device, &read(&device, y), &expected, 1e-5)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn ways_into_the_residual_stream() {
    let strategy = (1_usize..200, tokens(), any::<[bool; 2]>(), 0.1_f32..2.0, any::<u64>());
    runner(20)
        .run(&strategy, |(d, tokens, [has_post, has_next], multiplier, seed)| {
            let (residual, x) = (noise(seed, tokens * d), noise(seed ^ 1, tokens * d));
            let (post, next) = (noise(seed ^ 2, d), noise(seed ^ 3, d));
            let mut spec = ResidualSpec::new(multiplier);
            if has_post {
                spec = spec.with_post_norm(1e-5);
            }
            if has_next {
                spec = spec.with_next_norm(1e-6);
            }
            let (sum, normed) = reference::residual_norm(&residual, &x, &post, &next, spec);
            for device in devices() {
                let (found_sum, found_normed) = residual_norm(
                    floats2(&residual, tokens, &device),
                    floats2(&x, tokens, &device),
                    floats1(&post, &device),
                    floats1(&next, &device),
                    spec,
                    device.tuning(),
                );
                close("residual_norm's sum", &device, &read(&device, found_sum), &sum, 1e-5)?;
                close("residual_norm's normed", &device, &read(&device, found_normed), &normed, 1e-5)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn caps() {
    runner(10)
        .run(&(1_usize..300, tokens(), 0.5_f32..50.0, any::<u64>()), |(n, tokens, cap, seed)| {
            let x: Vec<f32> = noise(seed, tokens * n).iter().map(|value| value * 200.0).collect();
            let expected: Vec<f32> = x.iter().map(|value| reference::softcap(f64::from(*value), cap) as f32).collect();
            for device in devices() {
                let y = softcap(floats2(&x, tokens, &device), cap);
                close("softcap", &device, &read(&device, y), &expected, 1e-5)?;
            }
            Ok(())
        })
        .unwrap();
}

/// What an attention layer may have besides heads.
#[derive(Debug, Clone)]
struct Features {
    /// Rotated pairs, of the head's.
    rotary_half: usize,
    qk_norm: QkNorm,
    softcap: Option<f32>,
    scale: Option<f32>,
    /// The window, and the rows that its cache has beyond the least.
    window: Option<(usize, usize)>,
}

fn features() -> impl Strategy<Value = Features> {
    let epsilon_bits = 1e-5_f32.to_bits();
    let norms = [QkNorm::None, QkNorm::PerHead { epsilon_bits }, QkNorm::FullWidth { epsilon_bits }];
    let window = prop::option::of((1_usize..90, 0_usize..20));
    let scores = (prop::option::of(0.3_f32..5.0), prop::option::of(0.1_f32..1.5));
    (0_usize..40, prop::sample::select(norms.to_vec()), scores, window)
        .prop_map(|(rotary_half, qk_norm, (softcap, scale), window)| Features { rotary_half, qk_norm, softcap, scale, window })
}

#[test]
fn rotation_append_and_attention() {
    let plain =
        (0_usize..1).prop_map(|_| Features { rotary_half: 39, qk_norm: QkNorm::None, softcap: None, scale: None, window: None });
    let features = prop_oneof![1 => plain, 3 => features()];
    let strategy = (1_usize..4, 1_usize..4, 1_usize..40, 0_usize..200, 1_usize..6, features, any::<u64>());
    runner(50)
        .run(&strategy, |(kv_heads, group, half, position, tokens, features, seed)| {
            let context = features.window.map_or(position + tokens + 3, |(window, spare)| window + tokens - 1 + spare);
            let mut spec = AttentionSpec::new(kv_heads * group, kv_heads, 2 * half, context);
            spec = features.scale.map_or(spec, |scale| spec.with_scale(scale));
            spec = features.softcap.map_or(spec, |cap| spec.with_softcap(cap));
            spec = features.window.map_or(spec, |(window, _)| spec.with_window(window));
            let rope = RopeSpec { rotary_dim: 2 * features.rotary_half.min(half), qk_norm: features.qk_norm };
            let (kv, d) = (spec.kv_width(), spec.head_dim);
            let table = noise(seed, (position + tokens) * rope.rotary_dim.max(1));
            let weights = match rope.qk_norm {
                QkNorm::None => Vec::new(),
                QkNorm::PerHead { .. } => noise(seed ^ 4, 2 * d),
                QkNorm::FullWidth { .. } => noise(seed ^ 4, spec.q_width() + kv),
            };
            let qkv = noise(seed ^ 1, tokens * spec.qkv_width());
            let (mut keys, mut values) = (noise(seed ^ 2, context * kv), noise(seed ^ 3, context * kv));
            let (old_keys, old_values) = (keys.clone(), values.clone());
            let mut queries = Vec::new();
            for (t, row) in qkv.chunks(spec.qkv_width()).enumerate() {
                let at = spec.row(position + t);
                let table_row = &table[(position + t) * rope.rotary_dim..][..rope.rotary_dim];
                let normed = reference::qk_norm(&row[..spec.q_width() + kv], &weights, rope.qk_norm, spec);
                let rotated: Vec<f32> = normed.chunks(d).flat_map(|h| reference::rotate(h, table_row, rope)).collect();
                queries.extend_from_slice(&rotated[..spec.q_width()]);
                keys[at * kv..][..kv].copy_from_slice(&rotated[spec.q_width()..]);
                values[at * kv..][..kv].copy_from_slice(&row[spec.q_width() + kv..]);
            }
            let mixed = reference::attention(&queries, &keys, &values, position, spec);
            for device in devices() {
                let step = write_step(&device, position, &vec![0; tokens], tokens);
                let (q, k_cache, v_cache) = rope_append(
                    floats2(&qkv, tokens, &device),
                    floats2(&table, position + tokens, &device),
                    floats1(&weights, &device),
                    step.clone(),
                    floats2(&old_keys, context, &device),
                    floats2(&old_values, context, &device),
                    rope,
                    spec,
                    device.tuning(),
                );
                let y = attention(q.clone(), k_cache.clone(), v_cache.clone(), step, spec, device.tuning());
                close("rope_append's queries", &device, &read(&device, q), &queries, 1e-5)?;
                close("rope_append's keys", &device, &read(&device, k_cache), &keys, 1e-5)?;
                close("rope_append's values", &device, &read(&device, v_cache), &values, 0.0)?;
                close("attention", &device, &read(&device, y), &mixed, 2e-5)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn copies() {
    runner(10)
        .run(&(1_usize..40, 1_usize..100, any::<u64>()), |(rows, d, seed)| {
            let x = noise(seed, rows * d);
            let start = seed as usize % rows;
            let count = rows - start;
            for device in devices() {
                let y = read(&device, copy_rows(floats2(&x, rows, &device), start, count, rows));
                close("copy_rows", &device, &y[..count * d], &x[start * d..], 0.0)?;
            }
            Ok(())
        })
        .unwrap();
}
