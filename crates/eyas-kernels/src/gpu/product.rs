//! The WGSL of products with packed matrices.
//!
//! A thread computes a tile of rows and tokens that it keeps in variables of their own: what it reads of the weights serves all its tokens, and what it
//! reads of the input all its rows. The tile is written out statement by statement, since an array that is indexed in a loop lies in memory on many
//! adapters.

use eyas_core::{BLOCK, WeightKind};

use super::{
    kernel::{GRID_X, Output, activation_of_g, needed_by},
    source::{Wgsl, lines},
};
use crate::MatrixSpec;

/// How a product is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Threads that share a tile, each with its own columns; more than one only for a single token.
    pub lanes: u32,
    /// Tiles of a workgroup, side by side.
    pub count: u32,
    /// Rows of a tile.
    pub rows: u32,
    /// Tokens of a tile.
    pub tokens: u32,
}

impl Tile {
    /// Threads of a workgroup.
    pub(super) const fn threads(self) -> u32 {
        self.lanes * self.count
    }

    /// Rows of a tile that become one value of the output: of gated products, two of them do.
    const fn units(self, output: Output) -> u32 {
        match output {
            Output::Gated(_) if self.rows > 1 => self.rows / 2,
            _ => self.rows,
        }
    }

    /// Values of the output that a workgroup computes of each token.
    pub(super) const fn group_units(self, output: Output) -> u32 {
        self.count * self.units(output)
    }

    /// The same with as many tiles in each workgroup, and no more than a matrix needs.
    #[must_use]
    pub(super) fn fitting(self, units: u32, output: Output) -> Self {
        let tiles = units.div_ceil(self.units(output));
        Self { count: tiles.div_ceil(tiles.div_ceil(self.count)), ..self }
    }
}

/// Sizes, buffers and `weights_at` of a packed matrix: a step of its columns is what one or more whole words hold.
pub(super) fn matrix(wgsl: Wgsl, spec: MatrixSpec) -> Wgsl {
    let wgsl = wgsl
        .size("ROWS", spec.rows)
        .size("COLS", spec.cols)
        .size("COL_BLOCKS", spec.cols.div_ceil(BLOCK))
        .size("WORDS", spec.words_per_row())
        .size("BLOCKS", spec.blocks_per_row())
        .size("VECTORS", vectors(spec.kind))
        .size("STEPS", BLOCK / 4 / vectors(spec.kind))
        .buffer("words", "u32");
    let wgsl = if spec.kind.is_quantized() { wgsl.buffer("scales", "f32") } else { wgsl };
    let whole = spec.cols.is_multiple_of(4);
    wgsl.body(match (spec.kind, whole) {
        (WeightKind::F32, true) => include_str!("wgsl/weights_f32.wgsl"),
        (WeightKind::F32, false) => include_str!("wgsl/weights_f32_ragged.wgsl"),
        (WeightKind::F16 | WeightKind::Bf16, _) => include_str!("wgsl/weights_pairs.wgsl"),
        (WeightKind::Q8, _) => include_str!("wgsl/weights_q8.wgsl"),
        (WeightKind::Q4, _) => include_str!("wgsl/weights_q4.wgsl"),
    })
    .body(match spec.kind {
        WeightKind::F16 => "fn pair(word: u32) -> vec2<f32> { return unpack2x16float(word); }",
        WeightKind::Bf16 => {
            "fn pair(word: u32) -> vec2<f32> { return bitcast<vec2<f32>>(vec2(word << 16u, word & 0xffff0000u)); }"
        }
        _ => "",
    })
}

/// Vectors of four weights in a step.
fn vectors(kind: WeightKind) -> usize {
    if kind == WeightKind::Q4 { 2 } else { 1 }
}

/// The vectors of a step in the variable `name`.
fn parts(kind: WeightKind, name: &str) -> Vec<String> {
    if kind == WeightKind::Q4 { vec![format!("{name}[0]"), format!("{name}[1]")] } else { vec![name.to_owned()] }
}

pub(super) fn embed(spec: MatrixSpec, scale: f32) -> Wgsl {
    let block_scale = if spec.kind.is_quantized() { "scales[row * BLOCKS + block]" } else { "1.0" };
    let put = lines(vectors(spec.kind) as u32, |v| {
        let part = &parts(spec.kind, "weights")[v as usize];
        format!("put(token, block * 32u + (i * VECTORS + {v}u) * 4u, {part} * block_scale * factor);\n")
    });
    matrix(Wgsl::new(), spec)
        .float("SCALE", scale)
        .buffer("step", "u32")
        .buffer("y", "f32")
        .body(&include_str!("wgsl/embed.wgsl").replace("BLOCK_SCALE", block_scale).replace("PUT", &put))
}

pub(super) fn matmul(spec: MatrixSpec, output: Output, tile: Tile) -> Wgsl {
    let whole = spec.cols.is_multiple_of(BLOCK);
    let gated = matches!(output, Output::Gated(_));
    let wgsl = matrix(Wgsl::new(), spec)
        .size("UNITS", if gated { spec.rows / 2 } else { spec.rows })
        .size("TILES", tile.count as usize)
        .size("GROUP_UNITS", tile.group_units(output) as usize)
        .size("LANES", tile.lanes as usize)
        .size("GROUP_THREADS", tile.threads() as usize)
        .size("TOKENS", tile.tokens as usize)
        .size("X_ROW", if whole { spec.cols / 4 } else { spec.cols })
        .size("GRID_X", GRID_X as usize);
    let wgsl = if spec.has_bias { wgsl.buffer("bias", "f32") } else { wgsl };
    let wgsl = wgsl.buffer("x", if whole { "vec4<f32>" } else { "f32" }).buffer("y", "f32");
    let wgsl = wgsl.body(if whole { include_str!("wgsl/load_x_whole.wgsl") } else { include_str!("wgsl/load_x_ragged.wgsl") });
    let wgsl = if let Output::Gated(activation) = output { needed_by(wgsl, activation) } else { wgsl };

    let units = tile.units(output);
    let rows = if gated { 2 * units } else { units };
    let each_sum = |line: &dyn Fn(u32, u32) -> String| lines(rows, |r| lines(tile.tokens, |t| line(r, t)));
    let quantized = spec.kind.is_quantized();
    // Where weights have a scale for each block, a block's sum comes first.
    let sum = if quantized { "block_sum" } else { "sum" };
    let (block_zero, block_add) = if quantized {
        let scaled = lines(rows, |r| format!("let scale{r} = scales[row{r} * BLOCKS + block];\n"))
            + &each_sum(&|r, t| format!("sum{r}_{t} += block_sum{r}_{t} * scale{r};\n"));
        (each_sum(&|r, t| format!("var block_sum{r}_{t} = 0.0;\n")), scaled)
    } else {
        (String::new(), String::new())
    };
    let dots = |v: usize, x: &str, t: u32| {
        lines(rows, |r| format!("{sum}{r}_{t} += dot({}, {x});\n", parts(spec.kind, &format!("w{r}"))[v]))
    };
    let step = lines(rows, |r| format!("let w{r} = weights_at(row{r} * WORDS, block * STEPS + i);\n"))
        + &lines(tile.tokens, |t| {
            lines(vectors(spec.kind) as u32, |v| {
                let x = format!("x{t}_{v}");
                let load = format!("let {x} = load_x((first + {t}u) * X_ROW, block * 8u + i * VECTORS + {v}u);\n");
                load + &dots(v as usize, &x, t)
            })
        });
    let row = lines(units, |u| {
        let place = format!("let unit{u} = base + {u}u * TILES;\nlet row{u} = min(unit{u}, UNITS - 1u);\n");
        if gated { place + &format!("let row{} = row{u} + UNITS;\n", u + units) } else { place }
    });
    let store = lines(units, |u| {
        lines(tile.tokens, |t| {
            let bias = |row: u32| if spec.has_bias { format!(" + bias[row{row}]") } else { String::new() };
            let value = format!("sum{u}_{t}{}", bias(u));
            let at = format!("(first + {t}u) * UNITS + unit{u}");
            let put = match output {
                Output::Store => format!("y[{at}] = {value};"),
                Output::Add => format!("y[{at}] += {value};"),
                Output::Gated(activation) => {
                    let up = u + units;
                    format!("let g = {value}; y[{at}] = {} * (sum{up}_{t}{});", activation_of_g(activation), bias(up))
                }
            };
            format!("if (lane == 0u && unit{u} < UNITS) {{ {put} }}\n")
        })
    });
    let zero = each_sum(&|r, t| format!("var sum{r}_{t} = 0.0;\n"));
    let sums: Vec<_> = (0..rows).flat_map(|r| (0..tile.tokens).map(move |t| format!("sum{r}_{t}"))).collect();
    let (wgsl, reduce) = shared_sums(wgsl, tile.lanes, &sums);
    let body = include_str!("wgsl/matmul.wgsl");
    let parts = [
        ("ROW", row),
        ("BLOCK_ZERO", block_zero),
        ("ZERO", zero),
        ("STEP", step),
        ("BLOCK_ADD", block_add),
        ("REDUCE", reduce),
        ("STORE", store),
    ];
    wgsl.body(&parts.iter().fold(body.to_owned(), |body, (name, text)| body.replace(&format!("// {name}\n"), text)))
}

/// Adds up what the lanes of a tile have of each sum; all at once, since each step needs a barrier.
fn shared_sums(wgsl: Wgsl, lanes: u32, sums: &[String]) -> (Wgsl, String) {
    if lanes == 1 {
        return (wgsl, String::new());
    }
    let indexed =
        |line: &dyn Fn(usize, &String) -> String| sums.iter().enumerate().map(|(s, sum)| line(s, sum)).collect::<String>();
    let put = indexed(&|s, sum| format!("partial[{s}u * GROUP_THREADS + local] = {sum};\n"));
    let add =
        indexed(&|s, _| format!("partial[{s}u * GROUP_THREADS + local] += partial[{s}u * GROUP_THREADS + local + stride];\n"));
    let get = indexed(&|s, sum| format!("{sum} = partial[{s}u * GROUP_THREADS + local - lane];\n"));
    let reduce = format!(
        "{put}workgroupBarrier();
for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {{
if (lane < stride) {{
{add}}}
workgroupBarrier();
}}
{get}"
    );
    (wgsl.body(&format!("var<workgroup> partial: array<f32, {}u * GROUP_THREADS>;", sums.len())), reduce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;

    #[test]
    fn tiles_are_shared_out_evenly() {
        let tile = Tile { lanes: 1, count: 32, rows: 8, tokens: 8 };
        let fitted = |units, output| (tile.fitting(units, output).count, tile.fitting(units, output).group_units(output));
        assert_eq!(fitted(576, Output::Store), (24, 192));
        assert_eq!(fitted(1, Output::Add), (1, 8));
        assert_eq!(fitted(2048, Output::Store), (32, 256));
        assert_eq!(fitted(257, Output::Store), (17, 136));
        assert_eq!(fitted(576, Output::Gated(Activation::Silu)), (29, 116));
        // A gated value needs two rows at least.
        assert_eq!(
            Tile { rows: 1, ..tile }.fitting(5, Output::Gated(Activation::Silu)).group_units(Output::Gated(Activation::Silu)),
            5
        );
    }
}
