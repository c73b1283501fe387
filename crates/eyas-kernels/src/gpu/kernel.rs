//! Which kernels there are, and the WGSL of each.

use eyas_core::{BLOCK, WeightKind};

use super::source::Wgsl;
use crate::{Activation, AttentionSpec, MatrixSpec, RopeSpec};

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
    Embed { spec: MatrixSpec },
    RmsNorm { cols: usize, epsilon_bits: u32, lanes: u32 },
    Matmul { spec: MatrixSpec, output: Output, rows: u32, lanes: u32, tokens: u32 },
    RopeAppend { rope: RopeSpec, spec: AttentionSpec },
    Attention { spec: AttentionSpec, lanes: u32 },
    Copy,
}

impl Kernel {
    /// Threads of a workgroup.
    pub(super) fn threads(self) -> u32 {
        match self {
            Self::Embed { .. } | Self::RopeAppend { .. } | Self::Copy => 64,
            Self::RmsNorm { lanes, .. } | Self::Attention { lanes, .. } => lanes,
            Self::Matmul { rows, lanes, .. } => rows * lanes,
        }
    }

    /// The complete WGSL. Bindings come in the order in which the launch gives its buffers.
    pub(super) fn source(self) -> String {
        match self {
            Self::Embed { spec } => {
                matrix(Wgsl::new(), spec).buffer("step", "u32").buffer("y", "f32").body(include_str!("wgsl/embed.wgsl"))
            }
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
            Self::Matmul { spec, output, rows, lanes, tokens } => matmul(spec, output, rows, lanes, tokens),
            Self::RopeAppend { rope, spec } => Wgsl::new()
                .size("HALF", rope.rotary_dim / 2)
                .size("HEAD_DIM", spec.head_dim)
                .size("Q_WIDTH", spec.q_width())
                .size("KV_WIDTH", spec.kv_width())
                .buffer("qkv", "f32")
                .buffer("rope_table", "f32")
                .buffer("step", "u32")
                .buffer("k_cache", "f32")
                .buffer("v_cache", "f32")
                .buffer("q", "f32")
                .body(include_str!("wgsl/rope_append.wgsl")),
            Self::Attention { spec, lanes } => Wgsl::new()
                .size("HEADS", spec.heads)
                .size("HEADS_PER_KV", spec.heads / spec.kv_heads)
                .size("HEAD_DIM", spec.head_dim)
                .size("KV_WIDTH", spec.kv_width())
                .size("LANES", lanes as usize)
                .size("GROUP_THREADS", lanes as usize)
                .size("DIMS_PER_LANE", spec.head_dim.div_ceil(lanes as usize))
                .size("TILE", 64)
                .float("SCALE", spec.scale())
                .buffer("q", "f32")
                .buffer("k_cache", "f32")
                .buffer("v_cache", "f32")
                .buffer("step", "u32")
                .buffer("y", "f32")
                .body(include_str!("wgsl/attention.wgsl")),
            Self::Copy => Wgsl::new()
                .size("GRID_X", GRID_X as usize)
                .buffer("x", "f32")
                .buffer("extent", "u32")
                .buffer("y", "f32")
                .body(include_str!("wgsl/copy.wgsl")),
        }
        .finish()
    }
}

/// Sizes, buffers and `load_block` of a packed matrix.
fn matrix(wgsl: Wgsl, spec: MatrixSpec) -> Wgsl {
    let wgsl = wgsl
        .size("ROWS", spec.rows)
        .size("COLS", spec.cols)
        .size("COL_BLOCKS", spec.cols.div_ceil(BLOCK))
        .size("WORDS", spec.words_per_row())
        .size("BLOCKS", spec.blocks_per_row())
        .buffer("words", "u32");
    let wgsl = if spec.kind.is_quantized() { wgsl.buffer("scales", "f32") } else { wgsl };
    wgsl.body(match spec.kind {
        WeightKind::F32 => include_str!("wgsl/block_f32.wgsl"),
        WeightKind::F16 => include_str!("wgsl/block_f16.wgsl"),
        WeightKind::Bf16 => include_str!("wgsl/block_bf16.wgsl"),
        WeightKind::Q8 => include_str!("wgsl/block_q8.wgsl"),
        WeightKind::Q4 => include_str!("wgsl/block_q4.wgsl"),
    })
}

fn matmul(spec: MatrixSpec, output: Output, rows: u32, lanes: u32, tokens: u32) -> Wgsl {
    let whole = spec.cols.is_multiple_of(BLOCK);
    let gated = matches!(output, Output::Gated(_));
    let wgsl = matrix(Wgsl::new(), spec)
        .size("UNITS", if gated { spec.rows / 2 } else { spec.rows })
        .size("GROUP_ROWS", rows as usize)
        .size("LANES", lanes as usize)
        .size("GROUP_THREADS", (rows * lanes) as usize)
        .size("TOKENS", tokens as usize)
        .size("GRID_X", GRID_X as usize);
    let wgsl = if spec.has_bias { wgsl.buffer("bias", "f32") } else { wgsl };
    let wgsl = wgsl.buffer("x", if whole { "vec4<f32>" } else { "f32" }).buffer("y", "f32");
    let wgsl = wgsl.body(if whole { include_str!("wgsl/load_x_whole.wgsl") } else { include_str!("wgsl/load_x_ragged.wgsl") });
    let wgsl = if lanes > 1 { wgsl.body(include_str!("wgsl/reduce.wgsl")) } else { wgsl };

    let reduce = |sums: &str| match lanes {
        1 => String::new(),
        _ => format!("for (var t = 0u; t < TOKENS; t++) {{ {sums}[t] = reduce({sums}[t], local, lane); }}"),
    };
    let (sum_bias, up_bias) = if spec.has_bias { (" + bias[row]", " + bias[UNITS + row]") } else { ("", "") };
    let gate = if gated { format!("var ups = product(row + UNITS, lane, first); {}", reduce("ups")) } else { String::new() };
    let store = match output {
        Output::Store => format!("y[at] = sums[t]{sum_bias};"),
        Output::Add => format!("y[at] = y[at] + sums[t]{sum_bias};"),
        Output::Gated(activation) => {
            format!("let g = sums[t]{sum_bias}; y[at] = {} * (ups[t]{up_bias});", activation_of_g(activation))
        }
    };
    let body =
        include_str!("wgsl/matmul.wgsl").replace("REDUCE", &reduce("sums")).replace("GATE", &gate).replace("STORE", &store);
    wgsl.body(&body)
}

/// The activation of `g`. tanh is written out with a bounded argument: some drivers overflow for large ones.
fn activation_of_g(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "(g / (1.0 + exp(-g)))",
        Activation::GeluTanh => "(0.5 * g * (1.0 + tanh(clamp(0.7978846 * (g + 0.044715 * g * g * g), -15.0, 15.0))))",
    }
}
