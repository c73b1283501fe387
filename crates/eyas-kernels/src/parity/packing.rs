//! Packs random numbers into each kind of weights.

use eyas_core::WeightKind;
use half::{bf16, f16};

/// Packs floats; returns words, scales and the values that they stand for.
pub(super) fn pack(kind: WeightKind, values: &[f32], rows: usize, cols: usize) -> (Vec<u32>, Vec<f32>, Vec<f32>) {
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
