// A workgroup for a bundle of queries: heads with one key and value head in common, of neighbouring tokens. Positions come in tiles, softmax online.
// KEY_LANES threads share a key; the threads of the workgroup share a value.
const LEAST: f32 = -3.0e38;
var<workgroup> partial: array<f32, QUERIES * TILE * KEY_LANES>;
var<workgroup> weights: array<f32, QUERIES * TILE>;
var<workgroup> maxima: array<f32, QUERIES>;
var<workgroup> corrections: array<f32, QUERIES>;
var<workgroup> tiles: vec2<u32>;

// What the token sees: from the first position to the one before the second.
fn visible(token: u32) -> vec2<u32> {
    let position = step[0] + token;
    let first = select(0u, position + 1u - WINDOW, WINDOW > 0u && position + 1u > WINDOW);
    return vec2(first, min(step[0] + step[1], position + REACH));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let kv_head = group.x / BUNDLES_PER_KV;
    let first_head = group.x * BUNDLE_HEADS;
    let first_token = group.y * BUNDLE_TOKENS;
    let lane = local % KEY_LANES;
    if (local == 0u) {
        tiles = vec2(0u);
        if (first_token < step[1]) {
            tiles = vec2(visible(first_token).x, visible(min(first_token + BUNDLE_TOKENS, step[1]) - 1u).y);
        }
    }
    for (var q = local; q < QUERIES; q += LANES) {
        maxima[q] = LEAST;
    }
    let bounds = workgroupUniformLoad(&tiles);
    if (bounds.y == 0u) {
        return;
    }
    /* QUERY */
    /* TILES */
    /* STORE */
}
