//! Which kind a matrix is held in.

use eyas_core::{Quantize, WeightKind};

/// Float models up to this size stay as stored under [`Quantize::Auto`].
const SMALL_BYTES: u64 = 64 << 20;
/// Float models up to this size become 8-bit under [`Quantize::Auto`]; larger ones become 4-bit.
const MEDIUM_BYTES: u64 = 1 << 30;

/// The kind for a matrix stored as `stored`, in a model whose matrices take `model_bytes` as stored.
///
/// `None` keeps every kind. `Auto` keeps quantised kinds, and floats by the model's size. `Q8` and `Q4` apply to float matrices; a matrix that is
/// stored in 4 bits stays so under `Q8`, since 8 bits would only add bytes.
pub fn target_kind(quantize: Quantize, stored: WeightKind, model_bytes: u64) -> WeightKind {
    match (quantize, stored) {
        (Quantize::None, kind) => kind,
        (Quantize::Auto | Quantize::Q8, WeightKind::Q8) | (_, WeightKind::Q4) => stored,
        (Quantize::Auto, kind) if model_bytes <= SMALL_BYTES => kind,
        (Quantize::Q8, _) => WeightKind::Q8,
        (Quantize::Auto, _) if model_bytes <= MEDIUM_BYTES => WeightKind::Q8,
        (Quantize::Auto | Quantize::Q4, _) => WeightKind::Q4,
    }
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
        assert_eq!(target_kind(Quantize::Auto, WeightKind::F16, 1 << 20), WeightKind::F16);
        assert_eq!(target_kind(Quantize::Auto, WeightKind::Bf16, 270 << 20), WeightKind::Q8);
        assert_eq!(target_kind(Quantize::Auto, WeightKind::F32, 5 << 30), WeightKind::Q4);
        assert_eq!(target_kind(Quantize::Auto, WeightKind::Q8, 5 << 30), WeightKind::Q8);
        assert_eq!(target_kind(Quantize::Q4, WeightKind::Q8, 0), WeightKind::Q4);
        assert_eq!(target_kind(Quantize::Q8, WeightKind::Q4, 0), WeightKind::Q4);
    }

    #[test]
    fn mixed_floats_widen() {
        assert_eq!(common_kind([WeightKind::F16, WeightKind::Bf16]), Some(WeightKind::F32));
        assert_eq!(common_kind([WeightKind::Q4, WeightKind::Q8, WeightKind::Q4]), Some(WeightKind::Q8));
        assert_eq!(common_kind([]), None);
    }
}
