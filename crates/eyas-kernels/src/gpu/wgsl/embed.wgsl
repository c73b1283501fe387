// One thread for each block of 32 columns of each token's row.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    let token = id.y;
    if (block >= COL_BLOCKS) {
        return;
    }
    let row = step[2u + token];
    var weights: array<vec4<f32>, 8>;
    if (row < ROWS) {
        weights = load_block(row, block);
    }
    for (var i = 0u; i < 32u; i++) {
        let col = block * 32u + i;
        if (col < COLS) {
            y[token * COLS + col] = weights[i / 4u][i % 4u] * SCALE;
        }
    }
}
