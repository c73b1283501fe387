// Four columns of the row whose words begin at `start`, without their scale.
fn weights_at(start: u32, step: u32) -> vec4<f32> {
    let word = words[start + step];
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u));
}
