//! The WGSL of attention for a single token, with the positions that it sees shared out over workgroups (flash-decoding,
//! <https://pytorch.org/blog/flash-decoding/>), and of what makes one result of theirs.
//!
//! The first kernel also normalises, rotates and appends, so that a layer takes no dispatch more than with one workgroup for each bundle of queries.

use super::{
    attention::{Bundle, Shares, filled, sizes, sum_of_lanes},
    source::{Wgsl, lines},
};
use crate::{AttentionSpec, QkNorm, RopeSpec};

/// What a launch does of the keys and values of the step's own tokens, and of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Both, of a single token.
    Whole,
    /// It writes keys and values to the cache, and leaves `parts` out. With one share.
    Append,
    /// It finds them there.
    Attend,
}

/// What writes a token's own key and value to the cache.
const APPEND: &str = "if (group.x % BUNDLES_PER_KV == 0u && group.z < step[1]) {
let own = cache_index(kv_head, position);
for (var i = local; i < HEAD_DIM; i += LANES) {
k_cache[own + i] = partial[i];
v_cache[own + i] = qkv[own_value + i];
}
}
";

pub(super) fn split(rope: RopeSpec, spec: AttentionSpec, bundle: Bundle, splits: u32, part: Part) -> Wgsl {
    let shares = Shares::new(spec, bundle);
    let of_queries = |line: &dyn Fn(u32) -> String| lines(shares.queries, line);
    let query_factor = |q: u32| match rope.qk_norm {
        QkNorm::None => format!("let factor{q} = 1.0;\n"),
        QkNorm::PerHead { .. } => format!("let factor{q} = norm_factor((first_head + {q}u) * HEAD_DIM, HEAD_DIM, local);\n"),
        QkNorm::FullWidth { .. } if q == 0 => "let factor0 = norm_factor(0u, Q_WIDTH, local);\n".to_owned(),
        QkNorm::FullWidth { .. } => format!("let factor{q} = factor0;\n"),
    };
    let query = of_queries(&|q| {
        let parts = lines(shares.key_parts, |j| {
            format!("let q{q}_{j} = partial[{q}u * HEAD_DIM + {}] * factor{q} * {};\n", shares.key_at(j), shares.scale(j))
        });
        let sums = lines(shares.value_parts, |j| format!("var sum{q}_{j} = 0.0;\n"));
        format!("{}{parts}var total{q} = 0.0;\n{sums}", query_factor(q))
    });
    let key_factor = match rope.qk_norm {
        QkNorm::None => "let key_factor = 1.0;",
        QkNorm::PerHead { .. } => "let key_factor = norm_factor(own_key, HEAD_DIM, local);",
        QkNorm::FullWidth { .. } => "let key_factor = norm_factor(Q_WIDTH, KV_WIDTH, local);",
    };
    // Every KEY_LANES threads have the same; the first of them tell it.
    let own_scores = of_queries(&|q| format!("var score{q} = 0.0;\n"))
        + &lines(shares.key_parts, |j| {
            format!("let k{j} = partial[{}];\n", shares.key_at(j)) + &of_queries(&|q| format!("score{q} += q{q}_{j} * k{j};\n"))
        });
    let tell_scores = "if (local < KEY_LANES) {\n".to_owned()
        + &of_queries(&|q| format!("partial[{q}u * KEY_LANES + lane] = score{q};\n"))
        + "}\n";
    let own_values = of_queries(&|q| format!("total{q} = 1.0;\n"))
        + &lines(shares.value_parts, |j| {
            format!("let v{j} = qkv[own_value + {}];\n", shares.value_at(j)) + &of_queries(&|q| format!("sum{q}_{j} = v{j};\n"))
        });
    let store = of_queries(&|q| {
        format!("let part{q} = ((group.z * HEADS + first_head + {q}u) * SPLITS + group.y) * (HEAD_DIM + 2u);\n")
            + &shares.stored(|j, at| format!("parts[part{q} + {at}] = sum{q}_{j};"))
            + &format!("if (local == 0u) {{\nparts[part{q} + HEAD_DIM] = maxima[{q}];\n")
            + &format!("parts[part{q} + HEAD_DIM + 1u] = total{q};\n}}\n")
    });
    let append = if part == Part::Attend { String::new() } else { APPEND.to_owned() };
    let mut parts = [
        ("QUERY", query),
        ("KEY_FACTOR", key_factor.to_owned()),
        ("OWN_SCORES", own_scores),
        ("TELL_SCORES", tell_scores),
        ("SCORE", sum_of_lanes(shares.key_lanes)),
        ("APPEND", append),
        ("OWN_VALUES", own_values),
        ("TILES", shares.tiles("weights[i] = bent(score);")),
        ("STORE", store),
    ];
    if part == Part::Append {
        for (name, text) in &mut parts {
            if !matches!(*name, "KEY_FACTOR" | "SCORE" | "APPEND") {
                text.clear();
            }
        }
    }
    let wgsl = sizes(spec, bundle)
        .size("HALF", rope.rotary_dim / 2)
        .size("Q_WIDTH", spec.q_width())
        .size("KV_WIDTH", spec.kv_width())
        .size("SPLITS", splits as usize)
        .size("SCRATCH", shares.scratch(bundle))
        .buffer("qkv", "f32")
        .buffer("rope_table", "f32")
        .buffer("step", "u32")
        .buffer("k_cache", "f32")
        .buffer("v_cache", "f32");
    let wgsl = if part == Part::Append { wgsl } else { wgsl.buffer("parts", "f32") };
    normalised(wgsl, rope, bundle).body(&filled(include_str!("wgsl/attention_split.wgsl"), &parts))
}

/// `weighted`, and `norm_factor` where there are norms.
fn normalised(wgsl: Wgsl, rope: RopeSpec, bundle: Bundle) -> Wgsl {
    let (weight, epsilon_bits) = match rope.qk_norm {
        QkNorm::None => return wgsl.body("fn weighted(e: u32) -> f32 { return qkv[row + e]; }"),
        QkNorm::PerHead { epsilon_bits } => ("norm_weights[select(0u, HEAD_DIM, e >= Q_WIDTH) + e % HEAD_DIM]", epsilon_bits),
        QkNorm::FullWidth { epsilon_bits } => ("norm_weights[e]", epsilon_bits),
    };
    wgsl.buffer("norm_weights", "f32")
        .size("GROUP_THREADS", bundle.lanes as usize)
        .float("EPSILON", f32::from_bits(epsilon_bits))
        .body(&include_str!("wgsl/reduce.wgsl").replace("partial", "squares_of_lanes"))
        .body(&format!("fn weighted(e: u32) -> f32 {{ return qkv[row + e] * {weight}; }}"))
        .body(include_str!("wgsl/norm_factor.wgsl"))
}

/// Makes the output `[t, q_width]` of what [`split`] wrote.
pub(super) fn join(spec: AttentionSpec, splits: u32) -> Wgsl {
    Wgsl::new()
        .size("HEADS", spec.heads)
        .size("HEAD_DIM", spec.head_dim)
        .size("Q_WIDTH", spec.q_width())
        .size("SPLITS", splits as usize)
        .buffer("parts", "f32")
        .buffer("y", "f32")
        .body(include_str!("wgsl/attention_join.wgsl"))
}
