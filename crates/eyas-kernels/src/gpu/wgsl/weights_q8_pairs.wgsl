// The 16 upper bits are where integers of x stand.
const FACTORS: vec4<f32> = vec4<f32>(0x1p-16f);

fn bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u));
}

// Eight columns of the row whose words begin at `start`, without their scale.
fn weights_at(start: u32, step: u32) -> mat2x4<f32> {
    return mat2x4<f32>(bytes(words[start + 2u * step]), bytes(words[start + 2u * step + 1u]));
}
