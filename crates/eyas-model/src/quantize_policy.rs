//! Which kind a matrix is held in.

use eyas_core::{Quantize, WeightKind};
use eyas_weights::{SourceKind, TensorInfo};

/// Float models up to this size stay as stored under [`Quantize::Auto`].
const SMALL_BYTES: u64 = 64 << 20;
/// Float models up to this size become 8-bit under [`Quantize::Auto`]; larger ones become 4-bit.
const MEDIUM_BYTES: u64 = 1 << 30;
/// Models in 2 to 5 bits up to this size are held in 8 under [`Quantize::Auto`], in which they take at most about 1 GiB (1.5 at 2 bits).
const FEW_BITS_BYTES: u64 = 512 << 20;

/// What a decoder's matrices are called, in either format, whose rounding to 4 bits costs most for their size: the token embedding, which often is
/// the output matrix too, the output matrix, and the attention's output (what they cost: docs/formats.md).
const SENSITIVE: [&str; 5] =
    ["embed_tokens.weight", "lm_head.weight", "o_proj.weight", "token_embd.weight", "attn_output.weight"];

/// The kind for a matrix of a decoder, in a model whose tensors take `model_bytes` as stored; the table is in docs/formats.md.
///
/// `None` keeps what every format has ([`SourceKind::natural`]). `Q8` and `Q4` say what everything becomes, except that `Q4_0` is never
/// widened: 8 bits would only add bytes. `Auto` keeps `Q8_0`, `Q6_K` and `Q4_0`, and otherwise goes by the model's size. Where a model
/// becomes 4-bit, its most sensitive matrices become 8-bit.
pub fn target_kind(quantize: Quantize, tensor: &TensorInfo, model_bytes: u64) -> WeightKind {
    let is_sensitive = tensor.name == "output.weight" || SENSITIVE.iter().any(|ending| tensor.name.ends_with(ending));
    kind_of(quantize, tensor.kind, model_bytes, is_sensitive)
}

/// The same for any matrix; one that `is_sensitive` becomes 8-bit where the model becomes 4-bit.
pub(crate) fn kind_of(quantize: Quantize, stored: SourceKind, model_bytes: u64, is_sensitive: bool) -> WeightKind {
    let four_bits = if is_sensitive { WeightKind::Q8 } else { WeightKind::Q4 };
    match quantize {
        Quantize::None => stored.natural(),
        _ if stored == SourceKind::Q4_0 => WeightKind::Q4,
        Quantize::Q8 => WeightKind::Q8,
        Quantize::Q4 => four_bits,
        Quantize::Auto => match stored {
            SourceKind::Q8_0 | SourceKind::Q6K => WeightKind::Q8,
            _ if !stored.is_quantized() && model_bytes <= SMALL_BYTES => stored.natural(),
            _ if model_bytes <= if stored.is_quantized() { FEW_BITS_BYTES } else { MEDIUM_BYTES } => WeightKind::Q8,
            _ => four_bits,
        },
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

    fn tensor(name: &str, kind: SourceKind) -> TensorInfo {
        TensorInfo { name: name.to_owned(), kind, shape: vec![1, 256], file: 0, offset: 0, bytes: 0 }
    }

    #[test]
    fn auto_follows_the_size() {
        let auto = |stored, bytes| target_kind(Quantize::Auto, &tensor("mlp.up_proj.weight", stored), bytes);
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
            let tensor = tensor("blk.0.ffn_up.weight", kind);
            assert_eq!(target_kind(Quantize::None, &tensor, 0), kind.natural());
            assert_eq!(target_kind(Quantize::Q4, &tensor, 0), WeightKind::Q4);
            let expected = if kind == SourceKind::Q4_0 { WeightKind::Q4 } else { WeightKind::Q8 };
            assert_eq!(target_kind(Quantize::Q8, &tensor, 0), expected);
        }
    }

    #[test]
    fn sensitive_matrices_get_8_bits_unless_the_file_has_4() {
        for name in
            ["model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.weight", "output.weight", "blk.3.attn_output.weight"]
        {
            assert_eq!(target_kind(Quantize::Q4, &tensor(name, SourceKind::F16), 0), WeightKind::Q8, "{name}");
            assert_eq!(target_kind(Quantize::Auto, &tensor(name, SourceKind::F16), 5 << 30), WeightKind::Q8, "{name}");
            assert_eq!(target_kind(Quantize::Q4, &tensor(name, SourceKind::Q4_0), 0), WeightKind::Q4, "{name}");
        }
    }

    #[test]
    fn mixed_floats_widen() {
        assert_eq!(common_kind([WeightKind::F16, WeightKind::Bf16]), Some(WeightKind::F32));
        assert_eq!(common_kind([WeightKind::Q4, WeightKind::Q8, WeightKind::Q4]), Some(WeightKind::Q8));
        assert_eq!(common_kind([]), None);
    }
}
