//! Which kernels there are, and the WGSL of each.

use super::{
    attention::{self, Bundle},
    product::{self, Input, Tile},
    source::Wgsl,
    split_attention, upload_sum,
};
use crate::{Activation, AttentionSpec, MatrixSpec, QkNorm, ResidualSpec, RopeSpec};

/// Workgroups in the first dimension of a grid at most; WebGPU guarantees 65,535.
pub(super) const GRID_X: u32 = 32_768;

/// What a product does with its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Output {
    /// Writes them.
    Store,
    /// Adds them to what is there.
    Add,
    /// Multiplies the activated gate rows with the up rows.
    Gated(Activation),
}

/// A kernel with everything that is compiled into it: the key of the pipeline cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Embed {
        spec: MatrixSpec,
        scale_bits: u32,
    },
    RmsNorm {
        cols: usize,
        epsilon_bits: u32,
        lanes: u32,
    },
    ResidualNorm {
        cols: usize,
        spec: ResidualSpec,
        lanes: u32,
    },
    LayerNorm {
        cols: usize,
        epsilon_bits: u32,
        /// Whether something is added before.
        adds: bool,
        lanes: u32,
    },
    Activate {
        activation: Activation,
    },
    Softcap {
        cap_bits: u32,
    },
    Matmul {
        spec: MatrixSpec,
        output: Output,
        input: Input,
        tile: Tile,
    },
    /// Rounds the input of a product.
    RoundX,
    RopeAppend {
        rope: RopeSpec,
        spec: AttentionSpec,
        lanes: u32,
    },
    Attention {
        spec: AttentionSpec,
        bundle: Bundle,
    },
    /// The shares of attention for a single token, with normalisation, rotation and append before.
    SplitAttention {
        rope: RopeSpec,
        spec: AttentionSpec,
        bundle: Bundle,
        splits: u32,
        part: split_attention::Part,
    },
    /// Makes one result of the shares.
    JoinAttention {
        spec: AttentionSpec,
        splits: u32,
    },
    Copy,
    /// The sum of a buffer's words; see [`super::upload_sum`].
    Checksum,
    /// The best logit of each of `chunks` parts of the vocabulary, in each row of `row` logits.
    PickChunk {
        vocab: usize,
        row: usize,
        chunks: u32,
        /// Whether biases and penalties come before.
        adjusts: bool,
        lanes: u32,
    },
    /// The best of the parts: it becomes the step's token.
    PickBest {
        chunks: u32,
        lanes: u32,
    },
    /// The best of the parts of each row of logits.
    PickRows {
        chunks: u32,
        lanes: u32,
    },
    /// A draw from the adjusted logits: it becomes the step's token.
    Draw {
        vocab: usize,
        chunks: u32,
        lanes: u32,
    },
}

impl Kernel {
    /// Threads of a workgroup.
    pub(super) fn threads(self) -> u32 {
        match self {
            Self::Embed { .. }
            | Self::Softcap { .. }
            | Self::Activate { .. }
            | Self::RoundX
            | Self::JoinAttention { .. }
            | Self::Copy
            | Self::Checksum => 64,
            Self::RopeAppend { rope, .. } if rope.qk_norm == QkNorm::None => 64,
            Self::RmsNorm { lanes, .. }
            | Self::ResidualNorm { lanes, .. }
            | Self::LayerNorm { lanes, .. }
            | Self::RopeAppend { lanes, .. }
            | Self::PickChunk { lanes, .. }
            | Self::PickBest { lanes, .. }
            | Self::PickRows { lanes, .. }
            | Self::Draw { lanes, .. } => lanes,
            Self::Attention { bundle, .. } | Self::SplitAttention { bundle, .. } => bundle.lanes,
            Self::Matmul { tile, .. } => tile.threads(),
        }
    }

    /// The complete WGSL. Bindings come in the order in which the launch gives its buffers.
    pub(super) fn source(self) -> String {
        match self {
            Self::Embed { spec, scale_bits } => product::embed(spec, f32::from_bits(scale_bits)),
            Self::RmsNorm { cols, epsilon_bits, lanes } => Wgsl::new()
                .size("COLS", cols)
                .size("LANES", lanes as usize)
                .size("GROUP_THREADS", lanes as usize)
                .float("EPSILON", f32::from_bits(epsilon_bits))
                .buffer("x", "f32")
                .buffer("weight", "f32")
                .buffer("y", "f32")
                .body(include_str!("wgsl/reduce.wgsl"))
                .body(include_str!("wgsl/rms_norm.wgsl")),
            Self::Matmul { spec, output, input, tile } => product::matmul(spec, output, input, tile),
            Self::RoundX => product::round_x(),
            Self::ResidualNorm { cols, spec, lanes } => residual_norm(cols, spec, lanes),
            Self::LayerNorm { cols, epsilon_bits, adds, lanes } => layer_norm(cols, f32::from_bits(epsilon_bits), adds, lanes),
            Self::Activate { activation } => {
                let formula = format!("fn changed(g: f32) -> f32 {{ return {}; }}", activation_of_g(activation));
                each_value(needed_by(Wgsl::new(), activation).body(&formula))
            }
            Self::Softcap { cap_bits } => {
                let formula = "fn changed(value: f32) -> f32 { return bent(value); }";
                each_value(Wgsl::new().body(&bent(Some(f32::from_bits(cap_bits)))).body(formula))
            }
            Self::RopeAppend { rope, spec, lanes } => rope_append(rope, spec, lanes),
            Self::Attention { spec, bundle } => {
                attention::attention(spec, bundle).body(&cache_index(spec)).body(&bent(spec.softcap()))
            }
            Self::SplitAttention { rope, spec, bundle, splits, part } => {
                split_attention::split(rope, spec, bundle, splits, part).body(&cache_index(spec)).body(&bent(spec.softcap()))
            }
            Self::JoinAttention { spec, splits } => split_attention::join(spec, splits),
            Self::PickChunk { vocab, row, chunks, adjusts, lanes } => pick_chunk((vocab, row), chunks, adjusts, lanes),
            Self::PickBest { chunks, lanes } => choice(chunks, lanes)
                .size("RING", super::picker::RING)
                .buffer("step", "u32")
                .buffer("picked", "u32")
                .body(include_str!("wgsl/best_of_chunks.wgsl"))
                .body(include_str!("wgsl/hand_on.wgsl"))
                .body(include_str!("wgsl/pick_best.wgsl")),
            Self::PickRows { chunks, lanes } => choice(chunks, lanes)
                .buffer("picked", "u32")
                .body(include_str!("wgsl/best_of_chunks.wgsl"))
                .body(include_str!("wgsl/pick_rows.wgsl")),
            Self::Draw { vocab, chunks, lanes } => choice(chunks, lanes)
                .size("RING", super::picker::RING)
                .size("VOCAB", vocab)
                .size("CHUNK", vocab.div_ceil(chunks as usize))
                .buffer("step", "u32")
                .buffer("picked", "u32")
                .buffer("logits", "f32")
                .buffer("adjustments", "u32")
                .buffer("parameters", "u32")
                .body(include_str!("wgsl/parameters.wgsl"))
                .body(include_str!("wgsl/best_of_chunks.wgsl"))
                .body(include_str!("wgsl/hand_on.wgsl"))
                .body(include_str!("wgsl/draw.wgsl")),
            Self::Copy => Wgsl::new()
                .size("GRID_X", GRID_X as usize)
                .buffer("x", "f32")
                .buffer("extent", "u32")
                .buffer("y", "f32")
                .body(include_str!("wgsl/copy.wgsl")),
            Self::Checksum => Wgsl::new()
                .size("PLACE", upload_sum::PLACE as usize)
                .size("THREADS", upload_sum::THREADS)
                .buffer("x", "u32")
                .buffer("extent", "u32")
                .buffer("totals", "atomic<u32>")
                .body(include_str!("wgsl/checksum.wgsl")),
        }
        .finish()
    }
}

/// A kernel that looks at the best of each chunk.
fn choice(chunks: u32, lanes: u32) -> Wgsl {
    Wgsl::new()
        .size("CHUNKS", chunks as usize)
        .size("LANES", lanes as usize)
        .size("GROUP_THREADS", lanes as usize)
        .buffer("chunks", "u32")
        .body(include_str!("wgsl/candidate.wgsl"))
}

fn pick_chunk((vocab, row): (usize, usize), chunks: u32, adjusts: bool, lanes: u32) -> Wgsl {
    let wgsl = choice(chunks, lanes)
        .size("VOCAB", vocab)
        .size("ROW", row)
        .size("CHUNK", vocab.div_ceil(chunks as usize))
        .buffer("logits", "f32");
    let wgsl = if adjusts {
        wgsl.buffer("adjustments", "u32")
            .buffer("parameters", "u32")
            .body(include_str!("wgsl/parameters.wgsl"))
            .body(include_str!("wgsl/adjust.wgsl"))
    } else {
        wgsl.body(include_str!("wgsl/as_is.wgsl"))
    };
    wgsl.body(include_str!("wgsl/pick_chunk.wgsl"))
}

/// A kernel that makes `changed` of every value of `x`.
fn each_value(wgsl: Wgsl) -> Wgsl {
    wgsl.size("GRID_X", GRID_X as usize).buffer("x", "f32").body(include_str!("wgsl/each_value.wgsl"))
}

/// The functions that an activation calls.
pub(super) fn needed_by(wgsl: Wgsl, activation: Activation) -> Wgsl {
    if activation == Activation::Gelu { wgsl.body(include_str!("wgsl/gelu.wgsl")) } else { wgsl }
}

/// Where in a cache the values of a head at a position begin: [`AttentionSpec::cache_index`].
fn cache_index(spec: AttentionSpec) -> String {
    let AttentionSpec { context, head_dim, .. } = spec;
    let row = if spec.comes_around() { format!("position % {context}u") } else { "position".to_owned() };
    format!("fn cache_index(kv_head: u32, position: u32) -> u32 {{ return (kv_head * {context}u + {row}) * {head_dim}u; }}")
}

/// A value below a cap. tanh's argument is bounded: some drivers overflow for large ones.
fn bent(cap: Option<f32>) -> String {
    let value = match cap {
        Some(cap) => format!("{cap:e}f * tanh(clamp(value / {cap:e}f, -15.0, 15.0))"),
        None => "value".to_owned(),
    };
    format!("fn bent(value: f32) -> f32 {{ return {value}; }}")
}

fn rope_append(rope: RopeSpec, spec: AttentionSpec, lanes: u32) -> Wgsl {
    let wgsl = Wgsl::new()
        .size("HALF", rope.rotary_dim / 2)
        .size("HEAD_DIM", spec.head_dim)
        .size("Q_WIDTH", spec.q_width())
        .size("KV_WIDTH", spec.kv_width())
        .body(&cache_index(spec))
        .buffer("qkv", "f32")
        .buffer("rope_table", "f32")
        .buffer("step", "u32")
        .buffer("k_cache", "f32")
        .buffer("v_cache", "f32")
        .buffer("q", "f32");
    let (is_per_head, epsilon_bits) = match rope.qk_norm {
        QkNorm::None => return wgsl.body(include_str!("wgsl/rope_append.wgsl")),
        QkNorm::PerHead { epsilon_bits } => (true, epsilon_bits),
        QkNorm::FullWidth { epsilon_bits } => (false, epsilon_bits),
    };
    wgsl.buffer("norm_weights", "f32")
        .size("LANES", lanes as usize)
        .size("GROUP_THREADS", lanes as usize)
        .float("EPSILON", f32::from_bits(epsilon_bits))
        .body(&format!("const PER_HEAD: bool = {is_per_head};"))
        .body(include_str!("wgsl/reduce.wgsl"))
        .body(include_str!("wgsl/rope_append_norm.wgsl"))
}

fn layer_norm(cols: usize, epsilon: f32, adds: bool, lanes: u32) -> Wgsl {
    let wgsl = Wgsl::new()
        .size("COLS", cols)
        .size("LANES", lanes as usize)
        .size("GROUP_THREADS", lanes as usize)
        .float("EPSILON", epsilon)
        .buffer("x", "f32");
    let wgsl = if adds { wgsl.buffer("added", "f32") } else { wgsl };
    wgsl.buffer("weight", "f32")
        .buffer("bias", "f32")
        .buffer("y", "f32")
        .body(include_str!("wgsl/reduce.wgsl"))
        .body(&include_str!("wgsl/layer_norm.wgsl").replace("ADDED", if adds { " + added[base + i]" } else { "" }))
}

fn residual_norm(cols: usize, spec: ResidualSpec, lanes: u32) -> Wgsl {
    let mut wgsl = Wgsl::new()
        .size("COLS", cols)
        .size("LANES", lanes as usize)
        .size("GROUP_THREADS", lanes as usize)
        .float("MULTIPLIER", spec.multiplier())
        .buffer("residual", "f32")
        .buffer("x", "f32");
    let (mut post, mut post_weight, mut next) = ("", "", "");
    if let Some(epsilon) = spec.post_epsilon() {
        wgsl = wgsl.float("POST_EPSILON", epsilon).buffer("post_weight", "f32");
        post = "var own = 0.0;
    for (var i = local; i < COLS; i += LANES) {
        own += x[base + i] * x[base + i];
    }
    factor *= 1.0 / sqrt(reduce(own, local, local) / f32(COLS) + POST_EPSILON);";
        post_weight = "* post_weight[i]";
    }
    if let Some(epsilon) = spec.next_epsilon() {
        wgsl = wgsl.float("NEXT_EPSILON", epsilon).buffer("next_weight", "f32").buffer("y", "f32");
        next = "let scale = 1.0 / sqrt(reduce(squares, local, local) / f32(COLS) + NEXT_EPSILON);
    for (var i = local; i < COLS; i += LANES) {
        y[base + i] = residual[base + i] * scale * next_weight[i];
    }";
    }
    let body = include_str!("wgsl/residual_norm.wgsl");
    let body = body.replace("POST_WEIGHT", post_weight).replace("POST", post).replace("NEXT", next);
    wgsl.body(include_str!("wgsl/reduce.wgsl")).body(&body)
}

/// The activation of `g`. tanh is written out with a bounded argument: some drivers overflow for large ones.
pub(super) fn activation_of_g(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "(g / (1.0 + exp(-g)))",
        Activation::GeluTanh => "(0.5 * g * (1.0 + tanh(clamp(0.7978846 * (g + 0.044715 * g * g * g), -15.0, 15.0))))",
        Activation::Gelu => "gelu(g)",
        Activation::Tanh => "tanh(clamp(g, -15.0, 15.0))",
        Activation::Relu => "max(g, 0.0)",
    }
}
