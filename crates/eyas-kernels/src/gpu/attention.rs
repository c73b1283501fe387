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

pub(super) fn attention(spec: AttentionSpec, bundle: Bundle) -> Wgsl {
    let Bundle { heads, tokens, lanes } = bundle;
    let (queries, head_dim, key_lanes) = (heads * tokens, spec.head_dim as u32, key_lanes(lanes));
    let key_parts = head_dim.div_ceil(key_lanes);
    let value_parts = head_dim.div_ceil(lanes);
    let of_queries = |line: &dyn Fn(u32) -> String| lines(queries, line);
    // Where values lie, but not behind the head's end.
    let inside = |at: &str, parts: u32, width: u32| {
        if parts * width == head_dim { at.to_owned() } else { format!("min({at}, HEAD_DIM - 1u)") }
    };

    let query = of_queries(&|q| {
        let token = format!("let token{q} = first_token + {}u;\n", q / heads);
        let base = format!("let base{q} = (min(token{q}, step[1] - 1u) * HEADS + first_head + {}u) * HEAD_DIM;\n", q % heads);
        let parts = lines(key_parts, |j| {
            let at = format!("lane + {}u", j * key_lanes);
            // What is behind the head's end counts as zero.
            let factor = if key_parts * key_lanes == head_dim {
                "SCALE".to_owned()
            } else {
                format!("select(0.0, SCALE, {at} < HEAD_DIM)")
            };
            format!("let q{q}_{j} = q[base{q} + {}] * {factor};\n", inside(&at, key_parts, key_lanes))
        });
        let sums = lines(value_parts, |j| format!("var sum{q}_{j} = 0.0;\n"));
        format!("{token}{base}{parts}var total{q} = 0.0;\n{sums}")
    });
    let scores = of_queries(&|q| format!("var score{q} = 0.0;\n"))
        + &lines(key_parts, |j| {
            let at = inside(&format!("lane + {}u", j * key_lanes), key_parts, key_lanes);
            format!("let k{j} = k_cache[key + {at}];\n") + &of_queries(&|q| format!("score{q} += q{q}_{j} * k{j};\n"))
        })
        + &of_queries(&|q| format!("partial[(p * QUERIES + {q}u) * KEY_LANES + lane] = score{q};\n"));
    let score = (0..key_lanes).map(|lane| format!("partial[at + {lane}u]")).collect::<Vec<_>>().join(" + ");
    let corrections = of_queries(&|q| {
        let sums = lines(value_parts, |j| format!("sum{q}_{j} *= correction{q};\n"));
        format!("let correction{q} = corrections[{q}];\ntotal{q} *= correction{q};\n{sums}")
    });
    let values = of_queries(&|q| format!("let weight{q} = weights[p * QUERIES + {q}u];\ntotal{q} += weight{q};\n"))
        + &lines(value_parts, |j| {
            let at = inside(&format!("local + {}u", j * lanes), value_parts, lanes);
            format!("let v{j} = v_cache[value + {at}];\n") + &of_queries(&|q| format!("sum{q}_{j} += weight{q} * v{j};\n"))
        });
    let store = of_queries(&|q| {
        let parts = lines(value_parts, |j| {
            format!("if (local + {0}u < HEAD_DIM) {{ y[base{q} + local + {0}u] = sum{q}_{j} / total{q}; }}\n", j * lanes)
        });
        format!("if (token{q} < step[1]) {{\n{parts}}}\n")
    });

    let parts = [
        ("QUERY", query),
        ("SCORES", scores),
        ("SCORE", score),
        ("CORRECTIONS", corrections),
        ("VALUES", values),
        ("STORE", store),
    ];
    let body = parts
        .iter()
        .fold(include_str!("wgsl/attention.wgsl").to_owned(), |body, (name, text)| body.replace(&format!("/* {name} */"), text));
    Wgsl::new()
        .size("WINDOW", spec.window.unwrap_or(0))
        .size("REACH", spec.reach())
        .size("HEADS", spec.heads)
        .size("HEAD_DIM", spec.head_dim)
        .size("LANES", lanes as usize)
        .size("KEY_LANES", key_lanes as usize)
        .size("BUNDLE_HEADS", heads as usize)
        .size("BUNDLE_TOKENS", tokens as usize)
        .size("BUNDLES_PER_KV", spec.heads / spec.kv_heads / heads as usize)
        .size("QUERIES", queries as usize)
        .size("TILE", bundle.positions() as usize)
        .float("SCALE", spec.scale())
        .buffer("q", "f32")
        .buffer("k_cache", "f32")
        .buffer("v_cache", "f32")
        .buffer("step", "u32")
        .buffer("y", "f32")
        .body(&body)
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
