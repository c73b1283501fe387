// As rope_append, with queries and keys normalised before: one workgroup for each group of values that is normalised together, a head or all
// heads, of each token.
fn weight_at(e: u32) -> f32 {
    if (PER_HEAD) {
        return norm_weights[select(0u, HEAD_DIM, e >= Q_WIDTH) + e % HEAD_DIM];
    }
    return norm_weights[e];
}

fn rotated(row: u32, e: u32, factor: f32, table: u32) -> f32 {
    let i = e % HEAD_DIM;
    let value = qkv[row + e] * factor * weight_at(e);
    if (i < HALF) {
        let other = qkv[row + e + HALF] * factor * weight_at(e + HALF);
        return value * rope_table[table + i] - other * rope_table[table + HALF + i];
    }
    if (i < 2u * HALF) {
        let other = qkv[row + e - HALF] * factor * weight_at(e - HALF);
        return value * rope_table[table + i - HALF] + other * rope_table[table + i];
    }
    return value;
}

@compute @workgroup_size(GROUP_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let token = group.y;
    let position = step[0] + token;
    let row = token * (Q_WIDTH + 2u * KV_WIDTH);
    let table = position * 2u * HALF;
    let is_live = token < step[1];
    var start = group.x * HEAD_DIM;
    var width = HEAD_DIM;
    if (!PER_HEAD) {
        start = select(0u, Q_WIDTH + (group.x - 1u) * KV_WIDTH, group.x > 0u);
        width = select(KV_WIDTH, Q_WIDTH, group.x == 0u);
    }
    var squares = 0.0;
    for (var i = local; i < width; i += LANES) {
        let value = qkv[row + start + i];
        squares += value * value;
    }
    let mean = reduce(squares, local, local) / f32(width);
    let factor = 1.0 / sqrt(mean + EPSILON);
    if (!is_live) {
        return;
    }
    for (var e = start + local; e < start + width; e += LANES) {
        let i = e % HEAD_DIM;
        if (e < Q_WIDTH) {
            q[token * Q_WIDTH + e] = rotated(row, e, factor, table);
        } else if (e < Q_WIDTH + KV_WIDTH) {
            k_cache[cache_index((e - Q_WIDTH) / HEAD_DIM, position) + i] = rotated(row, e, factor, table);
        } else {
            v_cache[cache_index((e - Q_WIDTH - KV_WIDTH) / HEAD_DIM, position) + i] = qkv[row + e];
        }
    }
}
