fn load_block(row: u32, block: u32) -> array<vec4<f32>, 8> {
    var weights: array<vec4<f32>, 8>;
    let base = row * WORDS;
    for (var i = 0u; i < 8u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let col = block * 32u + i * 4u + j;
            if (col < COLS) {
                weights[i][j] = bitcast<f32>(words[base + col]);
            }
        }
    }
    return weights;
}
