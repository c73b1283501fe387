//! The WGSL of attention: queries that share keys and values share what is read of them.

use super::source::{Wgsl, lines};
use crate::AttentionSpec;

/// Floats of a workgroup's memory that scores may take; WebGPU guarantees 4,096.
const SCORE_FLOATS: u32 = 3584;
/// Variables of each thread that queries may take, and that sums may take.
const MOST_VARIABLES: u32 = 256;
/// Queries of a workgroup at most: SwiftShader took 0.4 s to compile 4 of them with a head of 64, 1.1 s for 8 and 2.4 s for 16, on a busy machine.
const MOST_QUERIES: u32 = 8;
/// Positions of a tile at most.
const MOST_POSITIONS: u32 = 64;
/// Threads that read one key together at most: 32 bytes of it at a time, which is what memory gives at least.
const MOST_KEY_LANES: u32 = 8;

/// How attention is cut: a workgroup computes so many query heads of so many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bundle {
    /// Query heads; they have one key and value head in common.
    pub heads: u32,
    /// Tokens, one behind the other.
    pub tokens: u32,
    /// Threads.
    pub lanes: u32,
}

impl Bundle {
    /// The largest that `spec` and `tokens` allow up to these sizes.
    pub(super) fn fitting(spec: AttentionSpec, tokens: usize, most: Self) -> Self {
        let group = (spec.heads / spec.kv_heads) as u32;
        let variables = (spec.head_dim as u32).div_ceil(key_lanes(most.lanes));
        let queries = (MOST_VARIABLES / variables).clamp(1, MOST_QUERIES);
        let largest = |most: u32| (1..=most.min(group)).rev().find(|heads| group.is_multiple_of(*heads)).unwrap_or(1);
        let heads = largest(most.heads.min(queries));
        let tokens = most.tokens.min(queries / heads).min(tokens as u32).max(1);
        Self { heads, tokens, lanes: most.lanes }
    }

    /// Workgroups for so many tokens.
    pub(super) fn grid(self, spec: AttentionSpec, tokens: usize) -> [u32; 3] {
        [spec.heads as u32 / self.heads, (tokens as u32).div_ceil(self.tokens), 1]
    }

    /// Positions of a tile.
    const fn positions(self) -> u32 {
        let most = SCORE_FLOATS / (self.heads * self.tokens * (key_lanes(self.lanes) + 1));
        let most = if most < MOST_POSITIONS { most } else { MOST_POSITIONS };
        1 << most.ilog2()
    }
}

/// Threads that read one key together.
const fn key_lanes(lanes: u32) -> u32 {
    if lanes < MOST_KEY_LANES { lanes } else { MOST_KEY_LANES }
}

/// How the values of a head are shared out over a workgroup's threads.
pub(super) struct Shares {
    pub queries: u32,
    head_dim: u32,
    lanes: u32,
    pub key_lanes: u32,
    /// Values of a query or key that a thread has.
    pub key_parts: u32,
    /// Values of a value that a thread has.
    pub value_parts: u32,
}

impl Shares {
    pub(super) fn new(spec: AttentionSpec, bundle: Bundle) -> Self {
        let (head_dim, lanes, key_lanes) = (spec.head_dim as u32, bundle.lanes, key_lanes(bundle.lanes));
        let (key_parts, value_parts) = (head_dim.div_ceil(key_lanes), head_dim.div_ceil(lanes));
        Self { queries: bundle.heads * bundle.tokens, head_dim, lanes, key_lanes, key_parts, value_parts }
    }

    /// Floats of the workgroup's memory that scores take, or queries before.
    pub(super) fn scratch(&self, bundle: Bundle) -> usize {
        (self.queries * self.head_dim.max(bundle.positions() * self.key_lanes)) as usize
    }

    /// Where the `j`th value of a query or key is that a thread has, but not behind the head's end.
    pub(super) fn key_at(&self, j: u32) -> String {
        let at = format!("lane + {}u", j * self.key_lanes);
        if self.key_parts * self.key_lanes == self.head_dim { at } else { format!("min({at}, HEAD_DIM - 1u)") }
    }

    /// The same of a value.
    pub(super) fn value_at(&self, j: u32) -> String {
        let at = format!("local + {}u", j * self.lanes);
        if self.value_parts * self.lanes == self.head_dim { at } else { format!("min({at}, HEAD_DIM - 1u)") }
    }

    /// The factor on the `j`th value of a query: what is behind the head's end counts as zero.
    pub(super) fn scale(&self, j: u32) -> String {
        if self.key_parts * self.key_lanes == self.head_dim {
            "SCALE".to_owned()
        } else {
            format!("select(0.0, SCALE, lane + {}u < HEAD_DIM)", j * self.key_lanes)
        }
    }

    /// Lines for each value that a thread has in its sums and that is not behind the head's end.
    pub(super) fn stored(&self, line: impl Fn(u32, &str) -> String) -> String {
        lines(self.value_parts, |j| {
            let at = format!("local + {}u", j * self.lanes);
            format!("if ({at} < HEAD_DIM) {{ {} }}\n", line(j, &at))
        })
    }

    /// The loop over positions; `weight` says what becomes of a score.
    pub(super) fn tiles(&self, weight: &str) -> String {
        let Self { queries, key_lanes, key_parts, value_parts, .. } = *self;
        let of_queries = |line: &dyn Fn(u32) -> String| lines(queries, line);
        let scores = of_queries(&|q| format!("var score{q} = 0.0;\n"))
            + &lines(key_parts, |j| {
                format!("let k{j} = k_cache[key + {}];\n", self.key_at(j))
                    + &of_queries(&|q| format!("score{q} += q{q}_{j} * k{j};\n"))
            })
            + &of_queries(&|q| format!("partial[(p * QUERIES + {q}u) * KEY_LANES + lane] = score{q};\n"));
        let corrections = of_queries(&|q| {
            let sums = lines(value_parts, |j| format!("sum{q}_{j} *= correction{q};\n"));
            format!("let correction{q} = corrections[{q}];\ntotal{q} *= correction{q};\n{sums}")
        });
        let values = of_queries(&|q| format!("let weight{q} = weights[p * QUERIES + {q}u];\ntotal{q} += weight{q};\n"))
            + &lines(value_parts, |j| {
                format!("let v{j} = v_cache[value + {}];\n", self.value_at(j))
                    + &of_queries(&|q| format!("sum{q}_{j} += weight{q} * v{j};\n"))
            });
        let parts = [
            ("SCORES", scores),
            ("SCORE", sum_of_lanes(key_lanes)),
            ("WEIGHT", weight.to_owned()),
            ("CORRECTIONS", corrections),
            ("VALUES", values),
        ];
        filled(include_str!("wgsl/attention_tiles.wgsl"), &parts)
    }
}

/// The sum of what the threads of a key have of a score.
pub(super) fn sum_of_lanes(key_lanes: u32) -> String {
    (0..key_lanes).map(|lane| format!("partial[at + {lane}u]")).collect::<Vec<_>>().join(" + ")
}

/// WGSL with each `/* NAME */` replaced.
pub(super) fn filled(body: &str, parts: &[(&str, String)]) -> String {
    parts.iter().fold(body.to_owned(), |body, (name, text)| body.replace(&format!("/* {name} */"), text))
}

/// What attention is compiled with: sizes of heads and of the bundle.
pub(super) fn sizes(spec: AttentionSpec, bundle: Bundle) -> Wgsl {
    let Bundle { heads, tokens, lanes } = bundle;
    Wgsl::new()
        .size("WINDOW", spec.window.unwrap_or(0))
        .size("HEADS", spec.heads)
        .size("HEAD_DIM", spec.head_dim)
        .size("LANES", lanes as usize)
        .size("KEY_LANES", key_lanes(lanes) as usize)
        .size("BUNDLE_HEADS", heads as usize)
        .size("BUNDLES_PER_KV", spec.heads / spec.kv_heads / heads as usize)
        .size("QUERIES", (heads * tokens) as usize)
        .size("TILE", bundle.positions() as usize)
        .float("SCALE", spec.scale())
}

pub(super) fn attention(spec: AttentionSpec, bundle: Bundle) -> Wgsl {
    let Bundle { heads, tokens, .. } = bundle;
    let shares = Shares::new(spec, bundle);
    let of_queries = |line: &dyn Fn(u32) -> String| lines(shares.queries, line);

    let query = of_queries(&|q| {
        let token = format!("let token{q} = first_token + {}u;\n", q / heads);
        let base = format!("let base{q} = (min(token{q}, step[1] - 1u) * HEADS + first_head + {}u) * HEAD_DIM;\n", q % heads);
        let parts =
            lines(shares.key_parts, |j| format!("let q{q}_{j} = q[base{q} + {}] * {};\n", shares.key_at(j), shares.scale(j)));
        let sums = lines(shares.value_parts, |j| format!("var sum{q}_{j} = 0.0;\n"));
        format!("{token}{base}{parts}var total{q} = 0.0;\n{sums}")
    });
    let store = of_queries(&|q| {
        let parts = shares.stored(|j, at| format!("y[base{q} + {at}] = sum{q}_{j} / total{q};"));
        format!("if (token{q} < step[1]) {{\n{parts}}}\n")
    });
    let weight = "let seen = visible(first_token + (i % QUERIES) / BUNDLE_HEADS);
        let position = start + i / QUERIES;
        weights[i] = select(LEAST, bent(score), position >= seen.x && position < seen.y);";
    let parts = [("QUERY", query), ("TILES", shares.tiles(weight)), ("STORE", store)];
    sizes(spec, bundle)
        .size("REACH", spec.reach())
        .size("BUNDLE_TOKENS", tokens as usize)
        .buffer("q", "f32")
        .buffer("k_cache", "f32")
        .buffer("v_cache", "f32")
        .buffer("step", "u32")
        .buffer("y", "f32")
        .body(&filled(include_str!("wgsl/attention.wgsl"), &parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_divides_heads_and_stays_within_bounds() {
        let most = Bundle { heads: 8, tokens: 4, lanes: 4 };
        let fitting = |heads, kv_heads, head_dim, tokens| {
            let spec = AttentionSpec::new(heads, kv_heads, head_dim, 64);
            let bundle = Bundle::fitting(spec, tokens, most);
            (bundle.heads, bundle.tokens, bundle.positions(), bundle.grid(spec, tokens))
        };
        assert_eq!(fitting(9, 3, 64, 1), (3, 1, 64, [3, 1, 1]));
        assert_eq!(fitting(9, 3, 64, 16), (3, 2, 64, [3, 8, 1]));
        assert_eq!(fitting(9, 3, 64, 2), (3, 2, 64, [3, 1, 1]));
        assert_eq!(fitting(14, 2, 64, 5), (7, 1, 64, [2, 5, 1]));
        assert_eq!(fitting(20, 2, 64, 5), (5, 1, 64, [4, 5, 1]));
        assert_eq!(fitting(4, 4, 64, 5), (1, 4, 64, [4, 2, 1]));
        assert_eq!(fitting(4, 1, 256, 16), (4, 1, 64, [1, 16, 1]));
        assert_eq!(fitting(1, 1, 1, 1), (1, 1, 64, [1, 1, 1]));
        assert_eq!(Bundle { heads: 8, tokens: 1, lanes: 128 }.positions(), 32);
    }
}
