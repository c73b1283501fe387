//! Rotation, append and attention with every feature that a layer may have.

use proptest::prelude::*;

use super::{Outcome, close, floats1, floats2, noise, read};
use crate::{
    AttentionSpec, KernelDevice, QkNorm, RopeSpec, Tuning, append_attention, attention as attention_operation, reference,
    rope_append, write_step,
};

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
    /// Whether the tokens of the step see each other instead.
    is_bidirectional: bool,
    /// Whether queries and keys are eighths and stay where they are: scores are exact then, however large their scale makes them.
    is_exact: bool,
}

fn features() -> impl Strategy<Value = Features> {
    let epsilon_bits = 1e-5_f32.to_bits();
    let norms = [QkNorm::None, QkNorm::PerHead { epsilon_bits }, QkNorm::FullWidth { epsilon_bits }];
    let window = prop::option::of((1_usize..90, 0_usize..20));
    let scores = (prop::option::of(0.3_f32..5.0), prop::option::of(0.1_f32..1.5));
    (0_usize..40, prop::sample::select(norms.to_vec()), scores, window).prop_map(
        |(rotary_half, qk_norm, (softcap, scale), window)| Features {
            rotary_half,
            qk_norm,
            softcap,
            scale,
            window,
            is_bidirectional: false,
            is_exact: false,
        },
    )
}

/// A layer's attention somewhere in a sequence.
#[derive(Debug, Clone)]
pub struct Attention {
    kv_heads: usize,
    group: usize,
    half: usize,
    position: usize,
    tokens: usize,
    /// Rows of a GPU's step behind those of its tokens.
    padding: usize,
    features: Features,
    seed: u64,
}

pub(super) fn attention() -> impl Strategy<Value = Attention> {
    let plain = Features {
        rotary_half: 39,
        qk_norm: QkNorm::None,
        softcap: None,
        scale: None,
        window: None,
        is_bidirectional: false,
        is_exact: false,
    };
    let bidirectional = features().prop_map(|features| Features { is_bidirectional: true, ..features });
    let features = prop_oneof![1 => Just(plain), 3 => features(), 2 => bidirectional];
    // Some are behind what is read side by side.
    let position = prop_oneof![8 => 0_usize..200, 1 => 480_usize..560, 1 => 1000_usize..1100, 1 => 2030_usize..2070];
    // A single token's attention may be cut in a way of its own.
    let steps = prop_oneof![Just((1_usize, 0_usize)), (1_usize..14, 0_usize..5)];
    ((1_usize..4, 1_usize..9), 1_usize..40, position, steps, features, any::<u64>()).prop_map(
        |((kv_heads, group), half, position, (tokens, padding), features, seed)| Attention {
            kv_heads,
            group,
            half,
            position,
            tokens,
            padding,
            features,
            seed,
        },
    )
}

/// Steps around the places at which the CPU's vector kernels begin a block of rows or another of its streams, with heads of whole vectors and of whole cache lines;
/// with a window the rows that are seen begin anywhere between them. Some have scores far below the largest.
pub(super) fn attention_across_blocks() -> impl Strategy<Value = Attention> {
    let halves = prop::sample::select(vec![2_usize, 8, 32]);
    let positions = (prop::sample::select(vec![62_usize, 510, 702, 2046, 2302, 2814]), 0_usize..4);
    let window = prop::option::of((400_usize..2600, 0_usize..20));
    let scale = prop::option::of(prop::sample::select(vec![1.0_f32, 8.0, 64.0]));
    ((1_usize..4, 2_usize..6), halves, positions, window, scale, any::<u64>()).prop_map(
        |((group, tokens), half, (near, beyond), window, scale, seed)| Attention {
            kv_heads: 1,
            group,
            half,
            position: near + beyond,
            tokens,
            padding: 0,
            features: Features {
                rotary_half: if scale.is_some() { 0 } else { half },
                qk_norm: QkNorm::None,
                softcap: None,
                scale,
                window,
                is_bidirectional: false,
                is_exact: scale.is_some(),
            },
            seed,
        },
    )
}

impl Attention {
    pub(super) async fn check(&self, device: &KernelDevice) -> Outcome {
        let Self { kv_heads, group, half, position, tokens, padding, ref features, seed } = *self;
        let rows = tokens + if device.is_gpu() { padding } else { 0 };
        let around = features.window.filter(|_| !features.is_bidirectional);
        let context = around.map_or(position + tokens + 3, |(window, spare)| window + tokens - 1 + spare);
        let mut spec = AttentionSpec::new(kv_heads * group, kv_heads, 2 * half, context);
        spec = features.scale.map_or(spec, |scale| spec.with_scale(scale));
        spec = features.softcap.map_or(spec, |cap| spec.with_softcap(cap));
        spec = features.window.map_or(spec, |(window, _)| spec.with_window(window));
        if features.is_bidirectional {
            spec = spec.bidirectional();
        }
        let rope = RopeSpec { rotary_dim: 2 * features.rotary_half.min(half), qk_norm: features.qk_norm };
        let (kv, d, strip) = (spec.kv_width(), spec.head_dim, device.value_strip(spec));
        let table = noise(seed, (position + tokens) * rope.rotary_dim.max(1));
        let weights = match rope.qk_norm {
            QkNorm::None => Vec::new(),
            QkNorm::PerHead { .. } => noise(seed ^ 4, 2 * d),
            QkNorm::FullWidth { .. } => noise(seed ^ 4, spec.q_width() + kv),
        };
        let scored = |seed, count| {
            let values = noise(seed, count);
            if features.is_exact { values.into_iter().map(|value| (8.0 * value).round() / 8.0).collect() } else { values }
        };
        let qkv = scored(seed ^ 1, rows * spec.qkv_width());
        let (mut keys, mut values) = (scored(seed ^ 2, context * kv), noise(seed ^ 3, context * kv));
        let (old_keys, old_values) = (keys.clone(), values.clone());
        let mut queries = Vec::new();
        for (t, row) in qkv.chunks(spec.qkv_width()).take(tokens).enumerate() {
            let table_row = &table[(position + t) * rope.rotary_dim..][..rope.rotary_dim];
            let rotated = reference::rotated_heads(&row[..spec.q_width() + kv], table_row, &weights, rope, spec);
            queries.extend_from_slice(&rotated[..spec.q_width()]);
            for head in 0..kv_heads {
                let at = spec.cache_index(head, position + t);
                keys[at..][..d].copy_from_slice(&rotated[spec.q_width() + head * d..][..d]);
                values[at..][..d].copy_from_slice(&row[spec.q_width() + kv + head * d..][..d]);
            }
        }
        let mixed = reference::attention(&queries, &keys, &values, position, spec);
        let step = write_step(device, position, &vec![0; tokens], rows);
        let (q, k_cache, v_cache) = rope_append(
            floats2(&qkv, rows, device),
            floats2(&table, position + tokens, device),
            floats1(&weights, device),
            step.clone(),
            floats2(&old_keys, spec.cache_rows(), device),
            floats2(&in_strips(&old_values, strip, spec), spec.cache_rows() * (d / strip), device),
            rope,
            spec,
            device.tuning(),
        );
        let y = attention_operation(q.clone(), k_cache.clone(), v_cache.clone(), step, spec, device.tuning());
        let (y, q) = (read(device, y).await?, read(device, q).await?);
        let live = tokens * spec.q_width();
        // The CPU sums in an order that does not depend on what else is in a step.
        if !device.is_gpu() && !features.is_bidirectional {
            for (token, (query, same)) in q.chunks(spec.q_width()).zip(y.chunks(spec.q_width())).enumerate() {
                let (query, step) = (floats2(query, 1, device), write_step(device, position + token, &[0], 1));
                let alone = attention_operation(query, k_cache.clone(), v_cache.clone(), step, spec, device.tuning());
                close("attention of a token by itself", device, &read(device, alone).await?, same, 0.0)?;
            }
        }
        close("rope_append's queries", device, &q[..live], &queries, 1e-5)?;
        close("rope_append's keys", device, &read(device, k_cache).await?, &keys, 1e-5)?;
        close("rope_append's values", device, &read(device, v_cache).await?, &in_strips(&values, strip, spec), 0.0)?;
        close("attention", device, &y[..live], &mixed, 2e-5)?;
        // However many workgroups share the positions of a single token.
        let tuning = Tuning { attention_splits: 1 + (seed % 8) as u32, ..device.tuning() };
        let (y, _, k_cache, v_cache) = append_attention(
            floats2(&qkv, rows, device),
            floats2(&table, position + tokens, device),
            floats1(&weights, device),
            write_step(device, position, &vec![0; tokens], rows),
            floats2(&old_keys, spec.cache_rows(), device),
            floats2(&in_strips(&old_values, strip, spec), spec.cache_rows() * (d / strip), device),
            rope,
            spec,
            tuning,
        );
        close("append_attention", device, &read(device, y).await?[..live], &mixed, 2e-5)?;
        close("append_attention's keys", device, &read(device, k_cache).await?, &keys, 1e-5)?;
        close("append_attention's values", device, &read(device, v_cache).await?, &in_strips(&values, strip, spec), 0.0)?;
        Ok(())
    }
}

/// The values of a cache, `[cache_rows, head_dim]`, in strips of so many columns.
fn in_strips(values: &[f32], strip: usize, spec: AttentionSpec) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (row, values) in values.chunks(spec.head_dim).enumerate() {
        let (kv_head, row) = (row / spec.context, row % spec.context);
        for (column, value) in values.iter().enumerate() {
            out[spec.value_index(kv_head, row, column, strip)] = *value;
        }
    }
    out
}
