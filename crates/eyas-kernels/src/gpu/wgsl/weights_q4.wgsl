// Eight columns of the row whose words begin at `start`, without their scale.
fn weights_at(start: u32, step: u32) -> mat2x4<f32> {
    let word = words[start + step];
    let low = vec4<u32>(word, word >> 4u, word >> 8u, word >> 12u) & vec4<u32>(15u);
    let high = vec4<u32>(word >> 16u, word >> 20u, word >> 24u, word >> 28u) & vec4<u32>(15u);
    return mat2x4<f32>(vec4<f32>(bitcast<vec4<i32>>(low)) - 8.0, vec4<f32>(bitcast<vec4<i32>>(high)) - 8.0);
}
