// As attention, for each token by itself, whose query, key and value are the product's as it left them: each workgroup normalises and rotates the queries of its
// bundle, and looks at one of SPLITS shares of the positions before the token's own. Of each head it writes the sum of the values, the largest score and
// the sum of the weights. The last share begins with the token's own key and value, which the first bundle of each key and value head writes to the cache:
// no workgroup of the same token reads that row. Where there are several tokens, those before a token must be in the cache: a run before writes them all.
const LEAST: f32 = -3.0e38;
var<workgroup> partial: array<f32, SCRATCH>;
var<workgroup> weights: array<f32, QUERIES * TILE>;
var<workgroup> maxima: array<f32, QUERIES>;
var<workgroup> corrections: array<f32, QUERIES>;
var<workgroup> tiles: vec2<u32>;
// Where the token's values begin.
var<private> row: u32;

// The value at `e` of queries and keys, rotated, but not divided by its norm.
fn rotated(e: u32, table: u32) -> f32 {
    let i = e % HEAD_DIM;
    if (i < HALF) {
        return weighted(e) * rope_table[table + i] - weighted(e + HALF) * rope_table[table + HALF + i];
    }
    if (i < 2u * HALF) {
        return weighted(e) * rope_table[table + i - HALF] + weighted(e - HALF) * rope_table[table + i];
    }
    return weighted(e);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let kv_head = group.x / BUNDLES_PER_KV;
    let first_head = group.x * BUNDLE_HEADS;
    let lane = local % KEY_LANES;
    // A token that only fills the step up looks where the last one does.
    let position = step[0] + min(group.z, step[1] - 1u);
    row = group.z * (Q_WIDTH + 2u * KV_WIDTH);
    let table = position * 2u * HALF;
    if (local == 0u) {
        let first = select(0u, position + 1u - WINDOW, WINDOW > 0u && position + 1u > WINDOW);
        let share = (position - first + SPLITS - 1u) / SPLITS;
        let start = min(first + group.y * share, position);
        tiles = vec2(start, min(start + share, position));
    }
    for (var q = local; q < QUERIES; q += LANES) {
        maxima[q] = LEAST;
    }
    for (var i = local; i < QUERIES * HEAD_DIM; i += LANES) {
        partial[i] = rotated(first_head * HEAD_DIM + i, table);
    }
    let bounds = workgroupUniformLoad(&tiles);
    /* QUERY */
    workgroupBarrier();
    if (group.y == SPLITS - 1u) {
        let own_key = Q_WIDTH + kv_head * HEAD_DIM;
        let own_value = row + own_key + KV_WIDTH;
        /* KEY_FACTOR */
        for (var i = local; i < HEAD_DIM; i += LANES) {
            partial[i] = rotated(own_key + i, table) * key_factor;
        }
        workgroupBarrier();
        /* APPEND */
        /* OWN_SCORES */
        workgroupBarrier();
        /* TELL_SCORES */
        workgroupBarrier();
        for (var i = local; i < QUERIES; i += LANES) {
            let at = i * KEY_LANES;
            let score = /* SCORE */;
            maxima[i] = bent(score);
        }
        workgroupBarrier();
        /* OWN_VALUES */
    }
    /* TILES */
    /* STORE */
}
