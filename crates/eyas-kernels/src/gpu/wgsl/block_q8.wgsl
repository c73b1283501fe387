fn load_block(row: u32, block: u32) -> array<vec4<f32>, 8> {
    var weights: array<vec4<f32>, 8>;
    let scale = scales[row * BLOCKS + block];
    let base = row * WORDS + block * 8u;
    for (var i = 0u; i < 8u; i++) {
        let word = words[base + i];
        let bytes = vec4<i32>(bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word))) >> vec4<u32>(24u);
        weights[i] = vec4<f32>(bytes) * scale;
    }
    return weights;
}
