//! Whether a device computes what it should, before a model is entrusted to it.
//!
//! Some GPU drivers compute wrong values, some only in a pipeline's first run. So a decoder of two small layers, made of fixed numbers and held as
//! the model's weights will be, answers five tokens twice through the same kernels as any model: as a chunk, and then token by token through the
//! recorded step. What comes out must be the same both times, bit by bit, and what the CPU's kernels gave when this was written.

use eyas_core::{CancelToken, Error, ErrorKind, Quantize, Result, WeightKind};
use eyas_kernels::KernelDevice;
use eyas_weights::{Checkpoint, MemoryFiles, ModelFiles};
use serde_json::json;

use crate::{Decoder, DecoderConfig, LoadPlan, LogitsOf};

const HIDDEN: usize = 64;
const KV_WIDTH: usize = 32;
const FEED_FORWARD: usize = 96;
const LAYERS: usize = 2;
const VOCAB: usize = 48;

const PROMPT: [u32; 5] = [7, 41, 3, 19, 30];
/// Tokens that follow, one at a time: the first one is recorded, the second replayed.
const FOLLOWING: [u32; 2] = [11, 46];

/// Logits that are looked at: of every step, those of each eighth id.
const PROBES: usize = (1 + FOLLOWING.len()) * VOCAB / 8;

/// What floating-point weights give, whether they are held in 32 or 16 bits: all of them are exact in either.
const EXPECTED_FLOAT: [f32; PROBES] = [
    1.11972, 2.61385, -0.28754, -2.43673, -1.36728, 0.04948, -0.55432, 4.10341, 0.53781, 0.65919, 5.10255, 1.91693, 1.74406,
    3.69936, 3.27811, -0.08079, -3.14990, -1.71562,
];
/// What the same weights give in blocks of 8 bits.
const EXPECTED_Q8: [f32; PROBES] = [
    1.11314, 2.61416, -0.33510, -2.39360, -1.35823, 0.09336, -0.53551, 4.14310, 0.53696, 0.61159, 5.13520, 1.93022, 1.69751,
    3.72884, 3.21579, -0.09105, -3.14575, -1.68498,
];
/// What they give in blocks of 4 bits.
const EXPECTED_Q4: [f32; PROBES] = [
    2.10886, 3.14218, -1.01287, -1.62863, -1.63626, 0.15189, -0.03469, 3.12154, 1.14489, 0.69659, 4.63839, 1.40976, 1.87569,
    3.84112, 2.44712, 0.07693, -4.58384, -1.73305,
];

/// The largest difference allowed, as a part of the largest expected logit. Devices differ in the order of sums, and the CPU rounds the inputs of
/// quantised products to 16 bits.
const TOLERANCE: f32 = 2e-3;

/// Fails with `bad-device` where `device` does not compute with weights held as `kind` what it should.
pub async fn check_device(device: &KernelDevice, kind: WeightKind, cancel: &CancelToken) -> Result<()> {
    let expected = match kind {
        WeightKind::F32 | WeightKind::F16 | WeightKind::Bf16 => &EXPECTED_FLOAT,
        WeightKind::Q8 => &EXPECTED_Q8,
        WeightKind::Q4 => &EXPECTED_Q4,
    };
    let [first, second] = answers(device, kind, cancel).await?;
    if first.iter().zip(&second).any(|(first, second)| first.to_bits() != second.to_bits()) {
        return Err(bad_device("it computes other values the second time"));
    }
    compare(&first, expected)
}

fn compare(found: &[f32], expected: &[f32]) -> Result<()> {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Not a number is never within the tolerance.
        let is_close = (found - expected).abs() <= TOLERANCE * largest;
        if !is_close {
            return Err(bad_device(&format!(
                "of a known decoder it computed {found} where {expected} was expected (value {index})"
            )));
        }
    }
    Ok(())
}

fn bad_device(what: &str) -> Error {
    Error::new(
        ErrorKind::BadDevice,
        format!("this device computes wrong values: {what}; use the CPU, or another browser or driver"),
    )
}

/// The probed logits of two runs.
async fn answers(device: &KernelDevice, kind: WeightKind, cancel: &CancelToken) -> Result<[Vec<f32>; 2]> {
    let files = MemoryFiles::new(vec![("model.safetensors".to_owned(), checkpoint_file(kind))]).with_label("the canary");
    let checkpoint = Checkpoint::open(&ModelFiles::Folder(files.into())).await?;
    let quantize = match kind {
        WeightKind::Q8 => Quantize::Q8,
        WeightKind::Q4 => Quantize::Q4,
        WeightKind::F32 | WeightKind::F16 | WeightKind::Bf16 => Quantize::None,
    };
    let config = DecoderConfig::from_hf(&json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true
    }))?;
    let plan = LoadPlan { quantize, progress: &|_| {}, cancel };
    let decoder = Decoder::load(&checkpoint, config, device, &plan).await?;
    let mut cache = decoder.new_cache(16, 8)?;
    let mut runs = [Vec::with_capacity(PROBES), Vec::with_capacity(PROBES)];
    for run in &mut runs {
        cancel.check()?;
        cache.truncate(0);
        for ids in [PROMPT.as_slice(), &FOLLOWING[..1], &FOLLOWING[1..]] {
            let logits = decoder.forward(&mut cache, ids, LogitsOf::Last).await?;
            run.extend(logits.iter().step_by(8));
        }
    }
    Ok(runs)
}

/// A safetensors file of the canary's decoder, its matrices in the kind's own type (quantised kinds come from 32 bits).
fn checkpoint_file(kind: WeightKind) -> Vec<u8> {
    let mut tensors: Vec<(String, Vec<usize>)> = vec![("model.embed_tokens.weight".into(), vec![VOCAB, HIDDEN])];
    for layer in 0..LAYERS {
        let matrices = [
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KV_WIDTH, HIDDEN),
            ("self_attn.v_proj", KV_WIDTH, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", FEED_FORWARD, HIDDEN),
            ("mlp.up_proj", FEED_FORWARD, HIDDEN),
            ("mlp.down_proj", HIDDEN, FEED_FORWARD),
        ];
        tensors.extend(matrices.map(|(name, rows, cols)| (format!("model.layers.{layer}.{name}.weight"), vec![rows, cols])));
        tensors.extend(
            ["input_layernorm", "post_attention_layernorm"]
                .map(|name| (format!("model.layers.{layer}.{name}.weight"), vec![HIDDEN])),
        );
    }
    tensors.push(("model.norm.weight".into(), vec![HIDDEN]));
    let mut numbers = Numbers(0x2545_f491);
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        let is_norm = shape.len() == 1;
        let dtype = match kind {
            WeightKind::F16 if !is_norm => "F16",
            WeightKind::Bf16 if !is_norm => "BF16",
            _ => "F32",
        };
        for _ in 0..shape.iter().product() {
            let value = numbers.next() + if is_norm { 1.0 } else { 0.0 };
            match dtype {
                "F16" => data.extend(half::f16::from_f32(value).to_le_bytes()),
                "BF16" => data.extend(half::bf16::from_f32(value).to_le_bytes()),
                _ => data.extend(value.to_le_bytes()),
            }
        }
        header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Numbers from -1/2 to 1/2 in steps of 1/128, which are exact in every kind of float (xorshift: Marsaglia, 2003).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        ((self.0 % 129) as f32 - 64.0) / 128.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_what_is_expected() {
        let (cpu, cancel) = (KernelDevice::cpu(), CancelToken::new());
        for kind in WeightKind::ALL {
            // Seen by `--nocapture`: what to write above where the canary itself changes.
            println!("{kind:?}: {:?}", pollster::block_on(answers(&cpu, kind, &cancel)).unwrap()[0]);
        }
        for kind in WeightKind::ALL {
            pollster::block_on(check_device(&cpu, kind, &cancel)).unwrap();
        }
    }

    #[test]
    fn wrong_values_are_told() {
        assert!(compare(&EXPECTED_Q8, &EXPECTED_Q8).is_ok());
        let largest = EXPECTED_Q8.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for wrong in [EXPECTED_Q8[3] + 0.01 * largest, f32::NAN, f32::INFINITY] {
            let mut found = EXPECTED_Q8;
            found[3] = wrong;
            assert_eq!(compare(&found, &EXPECTED_Q8).unwrap_err().code(), "bad-device");
        }
        assert!(compare(&EXPECTED_Q4, &EXPECTED_Q8).is_err(), "the kinds can be told apart");
    }
}
