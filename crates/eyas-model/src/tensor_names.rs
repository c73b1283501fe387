//! Which place in the decoder a tensor's name means.

use eyas_weights::Format;

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
    /// Before the MLP of a layer.
    Mlp(usize),
    /// Before the output head.
    Final,
}

/// Where a tensor belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Part number `part` of a matrix.
    Matrix { matrix: MatrixSlot, part: usize },
    /// The bias of part number `part` of a matrix.
    Bias { matrix: MatrixSlot, part: usize },
    /// A normalisation's weight.
    Norm(NormSlot),
    /// A divisor for each rotary pair (GGUF).
    RopeDivisors,
    /// Something that is computed anew.
    Ignored,
}

/// The place that `name` means, or none where a decoder has no such place.
pub(crate) fn slot(name: &str, format: Format) -> Option<Slot> {
    match format {
        Format::Safetensors => safetensors_slot(name.strip_prefix("model.").unwrap_or(name)),
        Format::Gguf => gguf_slot(name),
        _ => None,
    }
}

fn safetensors_slot(name: &str) -> Option<Slot> {
    match name {
        "embed_tokens.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Embedding, part: 0 }),
        "lm_head.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Head, part: 0 }),
        "norm.weight" => return Some(Slot::Norm(NormSlot::Final)),
        _ => {}
    }
    let (layer, rest) = layer_of(name.strip_prefix("layers.")?)?;
    let (tensor, field) = rest.rsplit_once('.')?;
    let (matrix, part) = match tensor {
        "self_attn.q_proj" => (MatrixSlot::Qkv(layer), 0),
        "self_attn.k_proj" => (MatrixSlot::Qkv(layer), 1),
        "self_attn.v_proj" => (MatrixSlot::Qkv(layer), 2),
        "self_attn.o_proj" => (MatrixSlot::Output(layer), 0),
        "mlp.gate_proj" => (MatrixSlot::GateUp(layer), 0),
        "mlp.up_proj" => (MatrixSlot::GateUp(layer), 1),
        "mlp.down_proj" => (MatrixSlot::Down(layer), 0),
        "input_layernorm" => return (field == "weight").then_some(Slot::Norm(NormSlot::Attention(layer))),
        "post_attention_layernorm" => return (field == "weight").then_some(Slot::Norm(NormSlot::Mlp(layer))),
        "self_attn.rotary_emb" => return Some(Slot::Ignored),
        _ => return None,
    };
    part_of(matrix, part, field)
}

fn gguf_slot(name: &str) -> Option<Slot> {
    match name {
        "token_embd.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Embedding, part: 0 }),
        "output.weight" => return Some(Slot::Matrix { matrix: MatrixSlot::Head, part: 0 }),
        "output_norm.weight" => return Some(Slot::Norm(NormSlot::Final)),
        "rope_freqs.weight" => return Some(Slot::RopeDivisors),
        _ => {}
    }
    let (layer, rest) = layer_of(name.strip_prefix("blk.")?)?;
    let (tensor, field) = rest.rsplit_once('.')?;
    let (matrix, part) = match tensor {
        "attn_q" => (MatrixSlot::Qkv(layer), 0),
        "attn_k" => (MatrixSlot::Qkv(layer), 1),
        "attn_v" => (MatrixSlot::Qkv(layer), 2),
        "attn_output" => (MatrixSlot::Output(layer), 0),
        "ffn_gate" => (MatrixSlot::GateUp(layer), 0),
        "ffn_up" => (MatrixSlot::GateUp(layer), 1),
        "ffn_down" => (MatrixSlot::Down(layer), 0),
        "attn_norm" => return (field == "weight").then_some(Slot::Norm(NormSlot::Attention(layer))),
        "ffn_norm" => return (field == "weight").then_some(Slot::Norm(NormSlot::Mlp(layer))),
        _ => return None,
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
        let pairs = [
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("lm_head.weight", "output.weight"),
            ("model.norm.weight", "output_norm.weight"),
            ("model.layers.3.self_attn.v_proj.weight", "blk.3.attn_v.weight"),
            ("model.layers.3.self_attn.o_proj.bias", "blk.3.attn_output.bias"),
            ("model.layers.12.mlp.up_proj.weight", "blk.12.ffn_up.weight"),
            ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
        ];
        for (safetensors, gguf) in pairs {
            let place = slot(safetensors, Format::Safetensors);
            assert!(place.is_some(), "{safetensors}");
            assert_eq!(place, slot(gguf, Format::Gguf), "{safetensors}");
        }
    }

    #[test]
    fn strange_names_have_no_place() {
        for name in ["model.layers.x.mlp.up_proj.weight", "model.layers.0.mlp.experts.0.weight", "", "model.layers.0"] {
            assert_eq!(slot(name, Format::Safetensors), None, "{name}");
        }
    }
}
