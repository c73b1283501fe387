fn load_block(row: u32, block: u32) -> array<vec4<f32>, 8> {
    var weights: array<vec4<f32>, 8>;
    for (var i = 0u; i < 16u; i++) {
        let word = block * 16u + i;
        if (word < WORDS) {
            let pair = unpack2x16float(words[row * WORDS + word]);
            weights[i / 2u][(i % 2u) * 2u] = pair.x;
            weights[i / 2u][(i % 2u) * 2u + 1u] = pair.y;
        }
    }
    return weights;
}
