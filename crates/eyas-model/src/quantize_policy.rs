//! Which kind a matrix is held in.

use eyas_core::{Quantize, WeightKind};
use eyas_weights::SourceKind;

/// Float models up to this size stay as stored under [`Quantize::Auto`].
const SMALL_BYTES: u64 = 64 << 20;
/// Float models up to this size become 8-bit under [`Quantize::Auto`]; larger ones become 4-bit.
const MEDIUM_BYTES: u64 = 1 << 30;
/// Models in 2 to 5 bits up to this size are held in 8 under [`Quantize::Auto`], in which they take at most about 1 GiB (1.5 at 2 bits).
const FEW_BITS_BYTES: u64 = 512 << 20;

/// The kind for a matrix stored as `stored`, in a model whose tensors take `model_bytes` as stored; the table is in docs/formats.md.
///
/// `None` keeps what every format has ([`SourceKind::natural`]). `Q8` and `Q4` say what everything becomes, except that `Q4_0` is never
/// widened: 8 bits would only add bytes. `Auto` keeps `Q8_0`, `Q6_K` and `Q4_0`, and otherwise goes by the model's size.
pub fn target_kind(quantize: Quantize, stored: SourceKind, model_bytes: u64) -> WeightKind {
    match quantize {
        Quantize::None => stored.natural(),
        _ if stored == SourceKind::Q4_0 => WeightKind::Q4,
        Quantize::Q8 => WeightKind::Q8,
        Quantize::Q4 => WeightKind::Q4,
        Quantize::Auto => match stored {
            SourceKind::Q8_0 | SourceKind::Q6K => WeightKind::Q8,
            _ if stored.is_quantized() => up_to(FEW_BITS_BYTES, model_bytes),
            _ if model_bytes <= SMALL_BYTES => stored.natural(),
            _ => up_to(MEDIUM_BYTES, model_bytes),
        },
    }
}

/// 8 bits up to this size, else 4.
fn up_to(limit_bytes: u64, model_bytes: u64) -> WeightKind {
    if model_bytes <= limit_bytes { WeightKind::Q8 } else { WeightKind::Q4 }
}

/// The kind that holds parts of different kinds without loss: they are multiplied as one matrix.
pub(crate) fn common_kind(kinds: impl IntoIterator<Item = WeightKind>) -> Option<WeightKind> {
    kinds.into_iter().reduce(|a, b| match (a, b) {
        (a, b) if a == b => a,
        (WeightKind::Q8, WeightKind::Q4) | (WeightKind::Q4, WeightKind::Q8) => WeightKind::Q8,
        _ => WeightKind::F32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_follows_the_size() {
        let auto = |stored, bytes| target_kind(Quantize::Auto, stored, bytes);
        assert_eq!(auto(SourceKind::F16, 1 << 20), WeightKind::F16);
        assert_eq!(auto(SourceKind::Bf16, 270 << 20), WeightKind::Q8);
        assert_eq!(auto(SourceKind::F32, 5 << 30), WeightKind::Q4);
        assert_eq!(auto(SourceKind::Q8_0, 5 << 30), WeightKind::Q8);
        assert_eq!(auto(SourceKind::Q4K, 400 << 20), WeightKind::Q8);
        assert_eq!(auto(SourceKind::Q4K, 800 << 20), WeightKind::Q4);
        assert_eq!(auto(SourceKind::Q6K, 5 << 30), WeightKind::Q8);
    }

    #[test]
    fn a_wish_is_followed_but_4_bits_never_widen() {
        for kind in SourceKind::ALL {
            assert_eq!(target_kind(Quantize::None, kind, 0), kind.natural());
            assert_eq!(target_kind(Quantize::Q4, kind, 0), WeightKind::Q4);
            let expected = if kind == SourceKind::Q4_0 { WeightKind::Q4 } else { WeightKind::Q8 };
            assert_eq!(target_kind(Quantize::Q8, kind, 0), expected);
        }
    }

    #[test]
    fn mixed_floats_widen() {
        assert_eq!(common_kind([WeightKind::F16, WeightKind::Bf16]), Some(WeightKind::F32));
        assert_eq!(common_kind([WeightKind::Q4, WeightKind::Q8, WeightKind::Q4]), Some(WeightKind::Q8));
        assert_eq!(common_kind([]), None);
    }
}
