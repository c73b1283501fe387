//! Which place in the decoder a tensor's name means.

use eyas_weights::Format;

use crate::NormPlacement;

/// A matrix of a layer; query, key and value are one, and so are gate and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum MatrixSlot {
    /// The embedding, `[vocab, d]`.
    Embedding,
    /// The output head, `[vocab, d]`.
    Head,
    /// Query, key and value rows of a layer.
    Qkv(usize),
    /// The attention's output projection of a layer.
    Output(usize),
    /// Gate and up rows of a layer.
    GateUp(usize),
    /// The MLP's output projection of a layer.
    Down(usize),
}

/// A normalisation's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NormSlot {
    /// Before the attention of a layer.
    Attention(usize),
    /// Behind the attention of a layer.
    AfterAttention(usize),
    /// Before the MLP of a layer.
    Mlp(usize),
    /// Behind the MLP of a layer.
    AfterMlp(usize),
    /// Over the queries of a layer.
    Query(usize),
    /// Over the keys of a layer.
    Key(usize),
    /// Before the output head.
    Final,
}

/// The sequences that rotary divisors are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Divisors {
    /// All.
    All,
    /// Those up to the original context.
    Short,
    /// Those behind it.
    Long,
}

/// Where a tensor belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// Part number `part` of a matrix.
    Matrix { matrix: MatrixSlot, part: usize },
    /// The bias of part number `part` of a matrix.
    Bias { matrix: MatrixSlot, part: usize },
    /// A normalisation's weight.
    Norm(NormSlot),
    /// A divisor for each rotary pair (GGUF).
    RopeDivisors(Divisors),
    /// Something that is computed anew.
    Ignored,
}

/// The place that `name` means in a decoder with such norms, or none where it has no such place. A fused matrix is part 0 of its place.
pub(crate) fn slot(name: &str, format: Format, norms: NormPlacement) -> Option<Slot> {
    match format {
        Format::Safetensors => safetensors_slot(name.strip_prefix("model.").unwrap_or(name), norms),
        Format::Gguf => gguf_slot(name),
        _ => None,
    }
}

fn safetensors_slot(name: &str, norms: NormPlacement) -> Option<Slot> {
    match name {
        "embed_tokens.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Embedding, part: 0 }),
        "lm_head.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Head, part: 0 }),
        "norm.weight" => return Some(Slot::Norm(NormSlot::Final)),
        _ => {}
    }
    let (layer, rest) = layer_of(name.strip_prefix("layers.")?)?;
    let (tensor, field) = rest.rsplit_once('.')?;
    let (matrix, part) = match tensor {
        "self_attn.q_proj" | "self_attn.qkv_proj" => (MatrixSlot::Qkv(layer), 0),
        "self_attn.k_proj" => (MatrixSlot::Qkv(layer), 1),
        "self_attn.v_proj" => (MatrixSlot::Qkv(layer), 2),
        "self_attn.o_proj" => (MatrixSlot::Output(layer), 0),
        "mlp.gate_proj" | "mlp.gate_up_proj" => (MatrixSlot::GateUp(layer), 0),
        "mlp.up_proj" => (MatrixSlot::GateUp(layer), 1),
        "mlp.down_proj" => (MatrixSlot::Down(layer), 0),
        "self_attn.rotary_emb" => return Some(Slot::Ignored),
        _ => {
            let norm = match (tensor, norms) {
                ("input_layernorm", NormPlacement::Before | NormPlacement::Around) => NormSlot::Attention(layer),
                // The same name before the MLP in Llama, behind the attention in others.
                ("post_attention_layernorm", NormPlacement::Before) | ("pre_feedforward_layernorm", NormPlacement::Around) => {
                    NormSlot::Mlp(layer)
                }
                ("post_attention_layernorm", _) => NormSlot::AfterAttention(layer),
                ("post_feedforward_layernorm", NormPlacement::Around | NormPlacement::Behind) => NormSlot::AfterMlp(layer),
                ("self_attn.q_norm", _) => NormSlot::Query(layer),
                ("self_attn.k_norm", _) => NormSlot::Key(layer),
                _ => return None,
            };
            return (field == "weight").then_some(Slot::Norm(norm));
        }
    };
    part_of(matrix, part, field)
}

fn gguf_slot(name: &str) -> Option<Slot> {
    match name {
        "token_embd.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Embedding, part: 0 }),
        "output.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Head, part: 0 }),
        "output_norm.weight" => return Some(Slot::Norm(NormSlot::Final)),
        "rope_freqs.weight" => return Some(Slot::RopeDivisors(Divisors::All)),
        "rope_factors_short.weight" => return Some(Slot::RopeDivisors(Divisors::Short)),
        "rope_factors_long.weight" => return Some(Slot::RopeDivisors(Divisors::Long)),
        _ => {}
    }
    let (layer, rest) = layer_of(name.strip_prefix("blk.")?)?;
    let (tensor, field) = rest.rsplit_once('.')?;
    let (matrix, part) = match tensor {
        "attn_q" | "attn_qkv" => (MatrixSlot::Qkv(layer), 0),
        "attn_k" => (MatrixSlot::Qkv(layer), 1),
        "attn_v" => (MatrixSlot::Qkv(layer), 2),
        "attn_output" => (MatrixSlot::Output(layer), 0),
        "ffn_gate" => (MatrixSlot::GateUp(layer), 0),
        "ffn_up" => (MatrixSlot::GateUp(layer), 1),
        "ffn_down" => (MatrixSlot::Down(layer), 0),
        _ => {
            let norm = match tensor {
                "attn_norm" => NormSlot::Attention(layer),
                "post_attention_norm" => NormSlot::AfterAttention(layer),
                "ffn_norm" => NormSlot::Mlp(layer),
                "post_ffw_norm" => NormSlot::AfterMlp(layer),
                "attn_q_norm" => NormSlot::Query(layer),
                "attn_k_norm" => NormSlot::Key(layer),
                _ => return None,
            };
            return (field == "weight").then_some(Slot::Norm(norm));
        }
    };
    part_of(matrix, part, field)
}

fn part_of(matrix: MatrixSlot, part: usize, field: &str) -> Option<Slot> {
    match field {
        "weight" => Some(Slot::Matrix { matrix, part }),
        "bias" => Some(Slot::Bias { matrix, part }),
        _ => None,
    }
}

fn layer_of(rest: &str) -> Option<(usize, &str)> {
    let (layer, rest) = rest.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_name_the_same_places() {
        use NormPlacement::{Around, Before, Behind};
        let pairs = [
            (Before, "model.embed_tokens.weight", "token_embd.weight"),
            (Before, "lm_head.weight", "output.weight"),
            (Before, "model.norm.weight", "output_norm.weight"),
            (Before, "model.layers.3.self_attn.v_proj.weight", "blk.3.attn_v.weight"),
            (Before, "model.layers.3.self_attn.qkv_proj.weight", "blk.3.attn_qkv.weight"),
            (Before, "model.layers.3.self_attn.o_proj.bias", "blk.3.attn_output.bias"),
            (Before, "model.layers.3.self_attn.k_norm.weight", "blk.3.attn_k_norm.weight"),
            (Before, "model.layers.12.mlp.up_proj.weight", "blk.12.ffn_up.weight"),
            (Before, "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            (Around, "model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight"),
            (Around, "model.layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm.weight"),
            (Behind, "model.layers.0.post_feedforward_layernorm.weight", "blk.0.post_ffw_norm.weight"),
        ];
        for (norms, safetensors, gguf) in pairs {
            let place = slot(safetensors, Format::Safetensors, norms);
            assert!(place.is_some(), "{safetensors}");
            assert_eq!(place, slot(gguf, Format::Gguf, norms), "{safetensors}");
        }
    }

    #[test]
    fn strange_names_have_no_place() {
        let names = [
            "model.layers.x.mlp.up_proj.weight",
            "model.layers.0.mlp.experts.0.weight",
            "model.layers.0.pre_feedforward_layernorm.weight",
            "model.layers.0.self_attn.q_norm.bias",
            "",
            "model.layers.0",
        ];
        for name in names {
            assert_eq!(slot(name, Format::Safetensors, NormPlacement::Before), None, "{name}");
        }
    }
}
