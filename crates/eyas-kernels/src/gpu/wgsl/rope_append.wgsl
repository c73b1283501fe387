// One thread for each value of each token's query, key and value.
fn rotated(base: u32, i: u32, table: u32) -> f32 {
    let value = qkv[base + i];
    if (i < HALF) {
        return value * rope_table[table + i] - qkv[base + i + HALF] * rope_table[table + HALF + i];
    }
    if (i < 2u * HALF) {
        return value * rope_table[table + i - HALF] + qkv[base + i - HALF] * rope_table[table + i];
    }
    return value;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = id.x;
    let token = id.y;
    if (e >= Q_WIDTH + 2u * KV_WIDTH || token >= step[1]) {
        return;
    }
    let position = step[0] + token;
    let row = token * (Q_WIDTH + 2u * KV_WIDTH);
    let i = e % HEAD_DIM;
    let table = position * 2u * HALF;
    if (e < Q_WIDTH) {
        q[token * Q_WIDTH + e] = rotated(row + e - i, i, table);
    } else if (e < Q_WIDTH + KV_WIDTH) {
        k_cache[cache_index((e - Q_WIDTH) / HEAD_DIM, position) + i] = rotated(row + e - i, i, table);
    } else {
        v_cache[cache_index((e - Q_WIDTH - KV_WIDTH) / HEAD_DIM, position) + i] = qkv[row + e];
    }
}
