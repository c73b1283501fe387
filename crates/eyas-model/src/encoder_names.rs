//! Which place in an encoder a tensor's name means.

use crate::encoder_family::EncoderFamily;

/// A matrix; query, key and value of a layer are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EncoderMatrix {
    /// The embedding, `[vocab, d]`.
    Words,
    /// Query, key and value rows of a layer.
    Qkv(usize),
    /// The attention's output projection of a layer.
    Output(usize),
    /// The first matrix of a layer's MLP; where that is gated, the gate's rows come first.
    Up(usize),
    /// The second.
    Down(usize),
    /// The first matrix of the classification head.
    HeadDense,
    /// The second, `[labels, d]`.
    HeadOut,
}

/// A normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EncoderNorm {
    /// Behind the embeddings.
    Embeddings,
    /// Behind the attention of a layer, or before it.
    Attention(usize),
    /// Behind the MLP of a layer, or before it.
    Mlp(usize),
    /// Behind the last layer.
    Final,
    /// In the classification head.
    Head,
}

/// A tensor of floats that is no matrix to multiply with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EncoderTable {
    /// Embeddings of positions.
    Positions,
    /// Embeddings of token types.
    Types,
    /// The weight of a normalisation.
    NormWeight(EncoderNorm),
    /// The bias of a normalisation.
    NormBias(EncoderNorm),
}

/// Where a tensor belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EncoderSlot {
    /// Part number `part` of a matrix.
    Matrix { matrix: EncoderMatrix, part: usize },
    /// The bias of part number `part` of a matrix.
    Bias { matrix: EncoderMatrix, part: usize },
    /// Anything else.
    Table(EncoderTable),
    /// A part that neither an embedding nor a classification uses.
    Ignored,
}

/// What GGUF files call the embeddings of token types.
pub(crate) const TOKEN_TYPES: &str = "token_types.weight";

/// What GGUF files call the matrices of a classification head: the first, and the one whose rows are the labels.
pub(crate) const HEAD_DENSE: &str = "cls.weight";
pub(crate) const HEAD_OUT: &str = "cls.output.weight";

/// The place that `name` means in a GGUF file of an encoder of such a family, or none where it has no such place.
pub(crate) fn gguf_encoder_slot(name: &str, family: EncoderFamily) -> Option<EncoderSlot> {
    let (place, field) = name.rsplit_once('.')?;
    let table = |table| (field == "weight").then_some(EncoderSlot::Table(table));
    let is_modern = family == EncoderFamily::ModernBert;
    match place {
        "cls" => return of_matrix(EncoderMatrix::HeadDense, 0, field),
        "cls.output" => return of_matrix(EncoderMatrix::HeadOut, 0, field),
        "cls.norm" if is_modern => return of_norm(EncoderNorm::Head, field),
        "output_norm" if is_modern => return of_norm(EncoderNorm::Final, field),
        "token_embd" => return of_matrix(EncoderMatrix::Words, 0, field),
        "position_embd" => return table(EncoderTable::Positions),
        "token_types" => return table(EncoderTable::Types),
        "token_embd_norm" => return of_norm(EncoderNorm::Embeddings, field),
        _ => {}
    }
    let (layer, part) = place.strip_prefix("blk.")?.split_once('.')?;
    let layer = layer.parse().ok()?;
    let (matrix, part) = match part {
        "attn_q" => (EncoderMatrix::Qkv(layer), 0),
        "attn_k" => (EncoderMatrix::Qkv(layer), 1),
        "attn_v" => (EncoderMatrix::Qkv(layer), 2),
        "attn_qkv" if is_modern => (EncoderMatrix::Qkv(layer), 0),
        "attn_output" => (EncoderMatrix::Output(layer), 0),
        "ffn_up" => (EncoderMatrix::Up(layer), 0),
        "ffn_down" => (EncoderMatrix::Down(layer), 0),
        "attn_norm" if is_modern => return of_norm(EncoderNorm::Attention(layer), field),
        "ffn_norm" if is_modern => return of_norm(EncoderNorm::Mlp(layer), field),
        "attn_output_norm" if !is_modern => return of_norm(EncoderNorm::Attention(layer), field),
        "layer_output_norm" if !is_modern => return of_norm(EncoderNorm::Mlp(layer), field),
        _ => return None,
    };
    of_matrix(matrix, part, field)
}

/// The place that `name` means in an encoder of such a family, or none where it has no such place.
pub(crate) fn encoder_slot(name: &str, family: EncoderFamily) -> Option<EncoderSlot> {
    // Heads that predict tokens, and a table of 0, 1, 2 and so on.
    const UNUSED: [&str; 6] =
        ["cls.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "embeddings.position_ids"];
    if UNUSED.iter().any(|unused| name.starts_with(unused)) {
        return Some(EncoderSlot::Ignored);
    }
    if family == EncoderFamily::ModernBert {
        return modern_slot(name);
    }
    let name = name.strip_prefix(family.prefix()).unwrap_or(name);
    let (place, field) = name.rsplit_once('.')?;
    // The first BERT files call a normalisation's weight and bias gamma and beta.
    let field = match field {
        "gamma" => "weight",
        "beta" => "bias",
        field => field,
    };
    match place {
        "embeddings.word_embeddings" => return of_matrix(EncoderMatrix::Words, 0, field),
        "embeddings.position_embeddings" => return (field == "weight").then_some(EncoderSlot::Table(EncoderTable::Positions)),
        "embeddings.token_type_embeddings" => return (field == "weight").then_some(EncoderSlot::Table(EncoderTable::Types)),
        "embeddings.LayerNorm" => return of_norm(EncoderNorm::Embeddings, field),
        _ => {}
    }
    let is_distil = family == EncoderFamily::DistilBert;
    if let Some(rest) = place.strip_prefix(if is_distil { "transformer.layer." } else { "encoder.layer." }) {
        let (layer, part) = rest.split_once('.')?;
        let layer = layer.parse().ok()?;
        return if is_distil { distil_layer_slot(layer, part, field) } else { layer_slot(layer, part, field) };
    }
    let head = match (family, place) {
        (EncoderFamily::Bert, "pooler.dense")
        | (EncoderFamily::DistilBert, "pre_classifier")
        | (EncoderFamily::Roberta | EncoderFamily::XlmRoberta, "classifier.dense") => EncoderMatrix::HeadDense,
        (EncoderFamily::Bert | EncoderFamily::DistilBert, "classifier")
        | (EncoderFamily::Roberta | EncoderFamily::XlmRoberta, "classifier.out_proj") => EncoderMatrix::HeadOut,
        (_, "pooler.dense") => return Some(EncoderSlot::Ignored),
        _ => return None,
    };
    of_matrix(head, 0, field)
}

fn layer_slot(layer: usize, part: &str, field: &str) -> Option<EncoderSlot> {
    let (matrix, part) = match part {
        "attention.self.query" => (EncoderMatrix::Qkv(layer), 0),
        "attention.self.key" => (EncoderMatrix::Qkv(layer), 1),
        "attention.self.value" => (EncoderMatrix::Qkv(layer), 2),
        "attention.output.dense" => (EncoderMatrix::Output(layer), 0),
        "intermediate.dense" => (EncoderMatrix::Up(layer), 0),
        "output.dense" => (EncoderMatrix::Down(layer), 0),
        "attention.output.LayerNorm" => return of_norm(EncoderNorm::Attention(layer), field),
        "output.LayerNorm" => return of_norm(EncoderNorm::Mlp(layer), field),
        _ => return None,
    };
    of_matrix(matrix, part, field)
}

fn distil_layer_slot(layer: usize, part: &str, field: &str) -> Option<EncoderSlot> {
    let (matrix, part) = match part {
        "attention.q_lin" => (EncoderMatrix::Qkv(layer), 0),
        "attention.k_lin" => (EncoderMatrix::Qkv(layer), 1),
        "attention.v_lin" => (EncoderMatrix::Qkv(layer), 2),
        "attention.out_lin" => (EncoderMatrix::Output(layer), 0),
        "ffn.lin1" => (EncoderMatrix::Up(layer), 0),
        "ffn.lin2" => (EncoderMatrix::Down(layer), 0),
        "sa_layer_norm" => return of_norm(EncoderNorm::Attention(layer), field),
        "output_layer_norm" => return of_norm(EncoderNorm::Mlp(layer), field),
        _ => return None,
    };
    of_matrix(matrix, part, field)
}

fn modern_slot(name: &str) -> Option<EncoderSlot> {
    let (place, field) = name.strip_prefix(EncoderFamily::ModernBert.prefix()).unwrap_or(name).rsplit_once('.')?;
    match place {
        "embeddings.tok_embeddings" => return of_matrix(EncoderMatrix::Words, 0, field),
        "embeddings.norm" => return of_norm(EncoderNorm::Embeddings, field),
        "final_norm" => return of_norm(EncoderNorm::Final, field),
        "head.dense" => return of_matrix(EncoderMatrix::HeadDense, 0, field),
        "head.norm" => return of_norm(EncoderNorm::Head, field),
        "classifier" => return of_matrix(EncoderMatrix::HeadOut, 0, field),
        // The head that predicts tokens.
        "decoder" => return Some(EncoderSlot::Ignored),
        _ => {}
    }
    let (layer, part) = place.strip_prefix("layers.")?.split_once('.')?;
    let layer = layer.parse().ok()?;
    let matrix = match part {
        "attn.Wqkv" => EncoderMatrix::Qkv(layer),
        "attn.Wo" => EncoderMatrix::Output(layer),
        "mlp.Wi" => EncoderMatrix::Up(layer),
        "mlp.Wo" => EncoderMatrix::Down(layer),
        "attn_norm" => return of_norm(EncoderNorm::Attention(layer), field),
        "mlp_norm" => return of_norm(EncoderNorm::Mlp(layer), field),
        _ => return None,
    };
    of_matrix(matrix, 0, field)
}

fn of_matrix(matrix: EncoderMatrix, part: usize, field: &str) -> Option<EncoderSlot> {
    match field {
        "weight" => Some(EncoderSlot::Matrix { matrix, part }),
        "bias" => Some(EncoderSlot::Bias { matrix, part }),
        _ => None,
    }
}

fn of_norm(norm: EncoderNorm, field: &str) -> Option<EncoderSlot> {
    match field {
        "weight" => Some(EncoderSlot::Table(EncoderTable::NormWeight(norm))),
        "bias" => Some(EncoderSlot::Table(EncoderTable::NormBias(norm))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_name_the_same_places() {
        let bert = |name: &str| encoder_slot(name, EncoderFamily::Bert);
        let pairs = [
            ("encoder.layer.3.attention.self.key.bias", "transformer.layer.3.attention.k_lin.bias"),
            ("encoder.layer.3.output.LayerNorm.weight", "transformer.layer.3.output_layer_norm.weight"),
            ("bert.embeddings.LayerNorm.gamma", "distilbert.embeddings.LayerNorm.weight"),
            ("bert.pooler.dense.weight", "pre_classifier.weight"),
            ("classifier.bias", "classifier.bias"),
            ("cls.predictions.bias", "vocab_projector.bias"),
        ];
        for (name, distil) in pairs {
            assert!(bert(name).is_some(), "{name}");
            assert_eq!(bert(name), encoder_slot(distil, EncoderFamily::DistilBert), "{name}");
        }
        assert_eq!(bert("pooler.dense.bias"), encoder_slot("classifier.dense.bias", EncoderFamily::Roberta));
        assert_eq!(encoder_slot("roberta.pooler.dense.bias", EncoderFamily::XlmRoberta), Some(EncoderSlot::Ignored));
    }

    #[test]
    fn both_formats_name_the_same_places() {
        for (gguf, name) in [
            ("token_embd.weight", "embeddings.word_embeddings.weight"),
            (TOKEN_TYPES, "embeddings.token_type_embeddings.weight"),
            ("blk.3.attn_k.bias", "encoder.layer.3.attention.self.key.bias"),
            ("blk.3.ffn_down.weight", "encoder.layer.3.output.dense.weight"),
            ("blk.3.attn_output_norm.bias", "encoder.layer.3.attention.output.LayerNorm.bias"),
            ("blk.3.layer_output_norm.weight", "encoder.layer.3.output.LayerNorm.weight"),
            (HEAD_DENSE, "bert.pooler.dense.weight"),
            ("cls.output.bias", "classifier.bias"),
        ] {
            assert!(gguf_encoder_slot(gguf, EncoderFamily::Bert).is_some(), "{gguf}");
            assert_eq!(gguf_encoder_slot(gguf, EncoderFamily::Bert), encoder_slot(name, EncoderFamily::Bert), "{gguf}");
        }
        for (gguf, name) in [
            ("token_embd_norm.weight", "model.embeddings.norm.weight"),
            ("output_norm.weight", "model.final_norm.weight"),
            ("blk.3.attn_qkv.bias", "model.layers.3.attn.Wqkv.bias"),
            ("blk.3.attn_norm.weight", "model.layers.3.attn_norm.weight"),
            ("blk.3.ffn_norm.weight", "model.layers.3.mlp_norm.weight"),
            ("blk.3.ffn_up.weight", "model.layers.3.mlp.Wi.weight"),
            ("cls.norm.weight", "head.norm.weight"),
            (HEAD_OUT, "classifier.weight"),
        ] {
            assert!(gguf_encoder_slot(gguf, EncoderFamily::ModernBert).is_some(), "{gguf}");
            let expected = encoder_slot(name, EncoderFamily::ModernBert);
            assert_eq!(gguf_encoder_slot(gguf, EncoderFamily::ModernBert), expected, "{gguf}");
        }
        for name in
            ["cls.norm.weight", "blk.0.attn_qkv.weight", "blk.0.attn_q_norm.weight", "position_embd.bias", "blk.x.ffn_up.weight"]
        {
            assert_eq!(gguf_encoder_slot(name, EncoderFamily::Bert), None, "{name}");
        }
    }

    #[test]
    fn modern_bert_has_its_own_names() {
        let modern = |name: &str| encoder_slot(name, EncoderFamily::ModernBert);
        assert_eq!(modern("model.layers.3.mlp.Wi.weight"), Some(EncoderSlot::Matrix { matrix: EncoderMatrix::Up(3), part: 0 }));
        assert_eq!(modern("layers.3.mlp_norm.weight"), modern("model.layers.3.mlp_norm.weight"));
        assert_eq!(modern("decoder.bias"), Some(EncoderSlot::Ignored));
        for name in ["layers.3.mlp.Wi.gamma", "layers.x.mlp.Wi.weight", "encoder.layer.0.output.dense.weight", "head.weight"] {
            assert_eq!(modern(name), None, "{name}");
        }
    }

    #[test]
    fn strange_names_have_no_place() {
        let names = [
            "",
            "encoder.layer.x.output.dense.weight",
            "encoder.layer.0.attention.self.rope.weight",
            "qa_outputs.weight",
            "classifier.gain",
        ];
        for name in names {
            assert_eq!(encoder_slot(name, EncoderFamily::Bert), None, "{name}");
        }
    }
}
