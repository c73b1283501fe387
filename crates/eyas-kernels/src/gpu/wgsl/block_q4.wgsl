fn load_block(row: u32, block: u32) -> array<vec4<f32>, 8> {
    var weights: array<vec4<f32>, 8>;
    let scale = scales[row * BLOCKS + block];
    let base = row * WORDS + block * 4u;
    for (var i = 0u; i < 4u; i++) {
        let word = words[base + i];
        let low = vec4<u32>(word, word >> 4u, word >> 8u, word >> 12u) & vec4<u32>(15u);
        let high = vec4<u32>(word >> 16u, word >> 20u, word >> 24u, word >> 28u) & vec4<u32>(15u);
        weights[2u * i] = (vec4<f32>(low) - 8.0) * scale;
        weights[2u * i + 1u] = (vec4<f32>(high) - 8.0) * scale;
    }
    return weights;
}
