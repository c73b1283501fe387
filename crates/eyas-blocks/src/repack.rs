//! Stored rows into their natural kind, bit by bit.

use eyas_core::{BLOCK, Error, Result};

use crate::{SourceKind, decode::split_block, ggml_block, ggml_superblock, pack::not_finite};

/// Moves a row of a kind that is exact into its natural kind.
pub(crate) fn repack(source: SourceKind, stored: &[u8], words: &mut [u32], scales: &mut [f32]) -> Result<()> {
    match source {
        SourceKind::F32 | SourceKind::F16 | SourceKind::Bf16 => {
            let (whole, rest) = stored.as_chunks::<4>();
            let padded = rest.first_chunk::<2>().map(|&[low, high]| [low, high, 0, 0]);
            for (word, &bytes) in words.iter_mut().zip(whole.iter().chain(padded.as_ref())) {
                *word = u32::from_le_bytes(bytes);
            }
        }
        SourceKind::Q8_0 => {
            for ((block, words), scale) in stored.as_chunks::<34>().0.iter().zip(words.as_chunks_mut::<8>().0).zip(scales) {
                let (block_scale, quants) = split_block(block);
                *scale = check_scale(block_scale)?;
                for (word, &bytes) in words.iter_mut().zip(quants.as_chunks::<4>().0) {
                    *word = u32::from_le_bytes(bytes);
                }
            }
        }
        SourceKind::Q4_0 => {
            for ((block, words), scale) in stored.as_chunks::<18>().0.iter().zip(words.as_chunks_mut::<4>().0).zip(scales) {
                let (block_scale, quants) = split_block(block);
                *scale = check_scale(block_scale)?;
                // Byte b holds column b in its low nibble and column 16 + b in its high one.
                for (half, &bytes) in quants.as_chunks::<8>().0.iter().enumerate() {
                    let bytes = u64::from_le_bytes(bytes);
                    words[half] = low_nibbles(bytes);
                    words[2 + half] = low_nibbles(bytes >> 4);
                }
            }
        }
        SourceKind::Q5_0 => repack_integers(stored, words, scales, ggml_block::q5_0)?,
        SourceKind::Iq4Nl => repack_integers(stored, words, scales, ggml_block::iq4_nl)?,
        SourceKind::Q3K => {
            let parts = words.as_chunks_mut::<64>().0.iter_mut().zip(scales.as_chunks_mut::<8>().0);
            for (block, (words, scales)) in stored.as_chunks().0.iter().zip(parts) {
                let (block_scale, products) = ggml_superblock::q3_k_integers(block);
                let block_scale = check_scale(block_scale)?;
                let blocks = words.as_chunks_mut::<8>().0.iter_mut().zip(products.as_chunks::<BLOCK>().0);
                for ((words, products), scale) in blocks.zip(scales) {
                    // 128 is no i8, but the least product is -124: of a block with a 128, scale and integers change their signs.
                    let sign = if products.contains(&128) { -1 } else { 1 };
                    *scale = block_scale * f32::from(sign);
                    write_bytes(words, products.map(|product| (product * sign) as i8));
                }
            }
        }
        _ => {
            return Err(Error::internal(format!("{source} was to be repacked without loss, which can't be; please report this")));
        }
    }
    Ok(())
}

/// The low nibbles of eight bytes, in their order.
fn low_nibbles(bytes: u64) -> u32 {
    let pairs = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    let fours = (pairs | pairs >> 4) & 0x00ff_00ff_00ff_00ff;
    let eights = (fours | fours >> 8) & 0x0000_ffff_0000_ffff;
    (eights | eights >> 16) as u32
}

/// Repacks blocks that are a scale times 32 integers.
fn repack_integers<const BYTES: usize>(
    stored: &[u8],
    words: &mut [u32],
    scales: &mut [f32],
    read: impl Fn(&[u8; BYTES]) -> (f32, [i8; BLOCK]),
) -> Result<()> {
    for ((block, words), scale) in stored.as_chunks().0.iter().zip(words.as_chunks_mut::<8>().0).zip(scales) {
        let (block_scale, integers) = read(block);
        *scale = check_scale(block_scale)?;
        write_bytes(words, integers);
    }
    Ok(())
}

fn write_bytes(words: &mut [u32; 8], integers: [i8; BLOCK]) {
    for (word, integers) in words.iter_mut().zip(integers.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(integers.map(|integer| integer as u8));
    }
}

fn check_scale(scale: f32) -> Result<f32> {
    if scale.is_finite() { Ok(scale) } else { Err(not_finite()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_q3_k_with_a_128_is_turned_round() {
        // Integers of -4 throughout; scales of -32 in the first 32 columns, of 31 in all others.
        let mut block = [0; 110];
        block[96..108].fill(0xFF);
        (block[96], block[97], block[104], block[105]) = (0xF0, 0xF0, 0xFC, 0xFC);
        block[108..].copy_from_slice(&[0x00, 0x38]);
        let (mut words, mut scales) = ([0; 64], [0.0; 8]);
        repack(SourceKind::Q3K, &block, &mut words, &mut scales).unwrap();
        assert_eq!((scales[0], words[0].to_le_bytes()), (-0.5, [128; 4])); // -0.5 * -128 = 0.5 * -32 * -4
        assert_eq!((scales[1], words[8].to_le_bytes()), (0.5, [132; 4])); // 0.5 * -124
        assert_eq!(repack(SourceKind::Q4K, &[0; 144], &mut words, &mut scales).unwrap_err().code(), "internal");
    }
}
