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
    /// Threads that share a tile, each with its own columns; more than one only where each token is computed as a step of a single one computes it.
    pub lanes: u32,
    /// Tiles of a workgroup, side by side.
    pub count: u32,
    /// Rows of a tile.
    pub rows: u32,
    /// Tokens of a tile.
    pub tokens: u32,
}

/// Sums of all threads of a workgroup that may be added up through its memory: 16 KiB, which every WebGPU device has.
const SHARED_SUMS: u32 = 4096;
/// Rows of a tile of several tokens whose columns are shared: more sums than these are more than a thread of a GPU has registers for.
const SHARED_ROWS: u32 = 4;

impl Tile {
    /// For `tokens` tokens, each with the sums that this tile makes of a single one, in the same order: as many lanes share the columns.
    pub(super) fn of_tokens(self, tokens: u32) -> Self {
        if self.lanes == 1 {
            return Self { tokens, ..self };
        }
        let rows = self.rows.min(SHARED_ROWS);
        let sums = 2.max(rows) * tokens * self.lanes; // gated products have two rows at least
        Self { count: self.count.min((SHARED_SUMS / sums).max(1)), rows, tokens, ..self }
    }

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

/// How the input of a product is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// As floats.
    Floats,
    /// As integers of 16 bits with a scale for each block: [`round_x`]. A read brings two values, and on an adapter where reads are what takes the
    /// time such a product takes half of it. Sums of products of 4-bit weights within a block are exact.
    Rounded,
}

/// Sizes and buffers of a packed matrix.
fn matrix_buffers(wgsl: Wgsl, spec: MatrixSpec) -> Wgsl {
    let wgsl = wgsl
        .size("ROWS", spec.rows)
        .size("COLS", spec.cols)
        .size("COL_BLOCKS", spec.cols.div_ceil(BLOCK))
        .size("WORDS", spec.words_per_row())
        .size("BLOCKS", spec.blocks_per_row())
        .buffer("words", "u32");
    if spec.kind.is_quantized() { wgsl.buffer("scales", "f32") } else { wgsl }
}

/// Sizes, buffers and `weights_at` of a packed matrix: a step of its columns is what one or more whole words hold.
fn matrix(wgsl: Wgsl, spec: MatrixSpec) -> Wgsl {
    let wgsl = matrix_buffers(wgsl, spec).size("VECTORS", vectors(spec.kind)).size("STEPS", BLOCK / 4 / vectors(spec.kind));
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
fn parts(vectors: usize, name: &str) -> Vec<String> {
    if vectors == 2 { vec![format!("{name}[0]"), format!("{name}[1]")] } else { vec![name.to_owned()] }
}

pub(super) fn embed(spec: MatrixSpec, scale: f32) -> Wgsl {
    let block_scale = if spec.kind.is_quantized() { "scales[row * BLOCKS + block]" } else { "1.0" };
    let put = lines(vectors(spec.kind) as u32, |v| {
        let part = &parts(vectors(spec.kind), "weights")[v as usize];
        format!("put(token, block * 32u + (i * VECTORS + {v}u) * 4u, {part} * block_scale * factor);\n")
    });
    matrix(Wgsl::new(), spec)
        .float("SCALE", scale)
        .buffer("step", "u32")
        .buffer("y", "f32")
        .body(&include_str!("wgsl/embed.wgsl").replace("BLOCK_SCALE", block_scale).replace("PUT", &put))
}

/// Rounds the input of a product to [`Input::Rounded`]: for each block of 32 values four vectors of pairs, and one with its scale.
pub(super) fn round_x() -> Wgsl {
    Wgsl::new()
        .size("GRID_X", GRID_X as usize)
        .buffer("x", "vec4<f32>")
        .buffer("rounded", "vec4<u32>")
        .body(include_str!("wgsl/round_x.wgsl"))
}

/// The matrix of a product with rounded input, and how it is multiplied: eight columns in a step.
fn rounded_matrix(spec: MatrixSpec) -> Wgsl {
    let wgsl = matrix_buffers(Wgsl::new(), spec).size("VECTORS", 2).size("STEPS", BLOCK / 8);
    wgsl.body(match spec.kind {
        WeightKind::Q4 => include_str!("wgsl/weights_q4_in_place.wgsl"),
        _ => include_str!("wgsl/weights_q8_pairs.wgsl"),
    })
}

pub(super) fn matmul(spec: MatrixSpec, output: Output, input: Input, tile: Tile) -> Wgsl {
    let whole = spec.cols.is_multiple_of(BLOCK);
    let gated = matches!(output, Output::Gated(_));
    let is_rounded = input == Input::Rounded;
    let (element, x_row, load_x) = match input {
        Input::Rounded => ("vec4<u32>", spec.rounded_row_words() / 4, include_str!("wgsl/rounded_x.wgsl")),
        Input::Floats if whole => ("vec4<f32>", spec.cols / 4, include_str!("wgsl/load_x_whole.wgsl")),
        Input::Floats => ("f32", spec.cols, include_str!("wgsl/load_x_ragged.wgsl")),
    };
    let wgsl = if is_rounded { rounded_matrix(spec) } else { matrix(Wgsl::new(), spec) }
        .size("UNITS", if gated { spec.rows / 2 } else { spec.rows })
        .size("TILES", tile.count as usize)
        .size("GROUP_UNITS", tile.group_units(output) as usize)
        .size("LANES", tile.lanes as usize)
        .size("GROUP_THREADS", tile.threads() as usize)
        .size("TOKENS", tile.tokens as usize)
        .size("X_ROW", x_row)
        .size("GRID_X", GRID_X as usize);
    let wgsl = if spec.has_bias { wgsl.buffer("bias", "f32") } else { wgsl };
    let wgsl = wgsl.buffer("x", element).buffer("y", "f32").body(load_x);
    let wgsl = if let Output::Gated(activation) = output { needed_by(wgsl, activation) } else { wgsl };

    let units = tile.units(output);
    let rows = if gated { 2 * units } else { units };
    let each_sum = |line: &dyn Fn(u32, u32) -> String| lines(rows, |r| lines(tile.tokens, |t| line(r, t)));
    let quantized = spec.kind.is_quantized();
    // Where weights have a scale for each block, a block's sum comes first.
    let sum = if quantized { "block_sum" } else { "sum" };
    let (block_zero, block_add) = if quantized {
        let scale = lines(rows, |r| format!("let scale{r} = scales[row{r} * BLOCKS + block];\n"));
        let scaled = |r: u32, t: u32| match (is_rounded, spec.kind) {
            (false, _) => format!("block_sum{r}_{t} * scale{r}"),
            (true, WeightKind::Q4) => format!("(block_sum{r}_{t} * x_scale{t}.x + x_scale{t}.y) * scale{r}"),
            (true, _) => format!("block_sum{r}_{t} * x_scale{t}.x * scale{r}"),
        };
        let x_scale = lines(if is_rounded { tile.tokens } else { 0 }, |t| {
            format!("let x_scale{t} = bitcast<vec2<f32>>(x[(first + {t}u) * X_ROW + block * 5u + 4u].xy);\n")
        });
        let add = each_sum(&|r, t| format!("sum{r}_{t} += {};\n", scaled(r, t)));
        (each_sum(&|r, t| format!("var block_sum{r}_{t} = 0.0;\n")), scale + &x_scale + &add)
    } else {
        (String::new(), String::new())
    };
    let vectors = if is_rounded { 2 } else { vectors(spec.kind) };
    let dots = |v: u32, x: &str, t: u32| {
        lines(rows, |r| format!("{sum}{r}_{t} += dot({}, {x});\n", parts(vectors, &format!("w{r}"))[v as usize]))
    };
    let load = lines(rows, |r| format!("let w{r} = weights_at(row{r} * WORDS, block * STEPS + i);\n"));
    let step = lines(tile.tokens, |t| {
        if is_rounded {
            let x = format!("let x{t} = load_x((first + {t}u) * X_ROW + block * 5u + i);\n");
            return x + &lines(2, |v| dots(v, &format!("x{t}[{v}]"), t));
        }
        lines(vectors as u32, |v| {
            let x = format!("x{t}_{v}");
            let load = format!("let {x} = load_x((first + {t}u) * X_ROW, block * 8u + i * VECTORS + {v}u);\n");
            load + &dots(v, &x, t)
        })
    });
    let step = load + &step;
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
        // Each token as a single one: as many lanes, and no more sums than a workgroup has memory for.
        for (lanes, count, rows) in [(1, 4, 8), (32, 4, 2), (64, 4, 16), (64, 4, 1), (2, 3, 1), (16, 8, 2)] {
            let tile = Tile { lanes, count, rows, tokens: 1 }.of_tokens(8);
            assert_eq!((tile.lanes, tile.tokens), (lanes, 8));
            assert!(lanes == 1 || tile.threads() * 2.max(tile.rows) * 8 <= SHARED_SUMS && tile.count > 0, "{tile:?}");
        }
        // A gated value needs two rows at least.
        assert_eq!(
            Tile { rows: 1, ..tile }.fitting(5, Output::Gated(Activation::Silu)).group_units(Output::Gated(Activation::Silu)),
            5
        );
    }
}
