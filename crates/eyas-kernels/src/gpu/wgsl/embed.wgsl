fn put(token: u32, col: u32, values: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (col + j < COLS) {
            y[token * COLS + col + j] = values[j];
        }
    }
}

// One thread for each block of 32 columns of each token's row; zeros for an id that the table has not.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    let token = id.y;
    if (block >= COL_BLOCKS) {
        return;
    }
    let known = step[2u + token];
    let row = min(known, ROWS - 1u);
    let factor = select(0.0, SCALE, known < ROWS);
    let block_scale = BLOCK_SCALE;
    for (var i = 0u; i < STEPS; i++) {
        let weights = weights_at(row * WORDS, block * STEPS + i);
        PUT
    }
}
